use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream};
use sqlx::{
    Describe, Either, Error, Execute, Executor, PgPool, Postgres, SqlStr,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use crate::metrics::StatementTimer;

/// Runs each statement on a connection of the pool, and measures it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured<'p>(pub(crate) &'p PgPool);

/// A statement and its arguments, which can be executed.
type Parts = (SqlStr, Option<PgArguments>);

fn parts<'q>(mut query: impl Execute<'q, Postgres>) -> Result<Parts, Error> {
    let arguments = query.take_arguments().map_err(Error::Encode)?;
    Ok((query.sql(), arguments))
}

impl<'p> Executor<'p> for Measured<'p> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (sql, arguments) = match parts(query) {
            Ok(parts) => parts,
            Err(error) => return stream::once(std::future::ready(Err(error))).boxed(),
        };
        // Recorded when the rows have been read.
        let mut timer = StatementTimer::begin(sql.as_str());
        let rows = self.0.fetch_many((sql, arguments));
        rows.inspect_err(move |error| timer.failed(error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let parts = parts(query);
        async move {
            let (sql, arguments) = parts?;
            let mut timer = StatementTimer::begin(sql.as_str());
            let row = self.0.fetch_optional((sql, arguments)).await;
            row.inspect_err(|error| timer.failed(error))
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        self.0.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        self.0.describe(sql)
    }
}
