//! Process runners and effectful workers
