//! Gives the statuses that the gRPC library makes by itself (for bytes that are no message, for
//! messages that are too large) a code and details as every other one of ours has.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use schemas::error::of_transport;
use tonic::Status;

/// `routes` with every such status told in full.
pub fn told(routes: tonic::service::Routes) -> axum::Router {
    let router = routes.into_axum_router();
    router.layer(axum::middleware::map_response(tell))
}

/// A call that was refused at once has its status among its headers; one that broke later, in
/// its trailers.
async fn tell(response: Response) -> Response {
    let headers = response.headers();
    let is_grpc = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return response;
    }
    if headers.contains_key(Status::GRPC_STATUS) {
        return match of(headers) {
            Some(status) => status.into_http(),
            None => response,
        };
    }
    response.map(|body| {
        Body::new(body.map_frame(|frame| {
            let Some(status) = frame.trailers_ref().and_then(of) else {
                return frame;
            };
            match frame.into_trailers() {
                Ok(mut trailers) => {
                    trailers.remove(Status::GRPC_MESSAGE);
                    // Without it the caller still has the code.
                    let _ = status.add_header(&mut trailers);
                    http_body::Frame::trailers(trailers)
                }
                Err(frame) => frame,
            }
        }))
    })
}

fn of(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)?;
    of_transport(&status).map(Status::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;

    fn answer(body: Body) -> Response {
        let mut response = Response::new(body);
        let kind = header::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    async fn trailers(response: Response) -> Status {
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        assert_eq!(collected.to_bytes(), "data");
        Status::from_header_map(&trailers.unwrap()).unwrap()
    }

    fn broken_after_data(status: &Status) -> Response {
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        let trailers = futures::future::ready(Some(Ok(trailers)));
        answer(Body::new(Body::from("data").with_trailers(trailers)))
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_has_its_code_in_the_trailers() {
        let bare = Status::out_of_range(
            "Error, encoded message length too large: found 17 bytes, the limit is: 16 bytes",
        );
        let status = trailers(tell(broken_after_data(&bare)).await).await;
        assert_eq!(status.code(), tonic::Code::OutOfRange);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "REPLY_TOO_LARGE");
        assert_eq!(info.metadata["most"], "16");
        assert!(
            status.message().starts_with("REPLY_TOO_LARGE: "),
            "{status}"
        );
    }

    #[tokio::test]
    async fn other_answers_pass_as_they_are() {
        let status = trailers(tell(broken_after_data(&Status::cancelled("gone"))).await).await;
        assert_eq!(
            (status.code(), status.message()),
            (tonic::Code::Cancelled, "gone")
        );
        let page = tell(Response::new(Body::from("data"))).await;
        assert_eq!(page.into_body().collect().await.unwrap().to_bytes(), "data");
    }
}
