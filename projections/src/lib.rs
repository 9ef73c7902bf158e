//! Read models in Postgres
