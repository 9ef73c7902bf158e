//! Where bytes live
