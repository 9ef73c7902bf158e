//! Response bodies that keep their connection marked as busy until they are read or dropped.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use poem::Response;

use crate::connections::Busy;

/// Keeps a connection busy until the response body is dropped.
pub(crate) fn busy_until_read(mut response: Response, busy: Busy) -> Response {
    let inner: BoxBody<Bytes, io::Error> = response.take_body().into();
    let body = BoxBody::new(BusyBody { inner, _busy: busy });
    response.set_body(poem::Body::from(body));
    response
}

struct BusyBody {
    inner: BoxBody<Bytes, io::Error>,
    _busy: Busy,
}

impl Body for BusyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
