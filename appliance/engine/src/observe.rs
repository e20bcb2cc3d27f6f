//! The listener for `/status` and `/metrics`, only where the document asks for one. It decides nothing and changes
//! nothing: two pages, read only. Who may reach it is the input filter's business.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use halcyon_core::status::Status;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tracing::{info, warn};

/// Most connections at a time; more wait.
const MOST_CONNECTIONS: usize = 16;
/// Longest time for a request's head, and pause between attempts to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves on every address in `addresses` until it is dropped. An address that is not there yet is listened on all the
/// same (`IP_FREEBIND`).
pub async fn serve(addresses: Vec<IpAddr>, port: u16, status: watch::Receiver<Arc<Status>>) {
    let mut listeners = tokio::task::JoinSet::new();
    for address in addresses {
        listeners.spawn_local(listen(SocketAddr::new(address, port), status.clone()));
    }
    while listeners.join_next().await.is_some() {}
}

async fn listen(at: SocketAddr, status: watch::Receiver<Arc<Status>>) {
    let listener = loop {
        match bind(at) {
            Ok(listener) => break listener,
            Err(error) => {
                warn!(%at, %error, "cannot listen for status requests; trying again");
                sleep(PATIENCE).await;
            }
        }
    };
    info!(%at, "serving /status and /metrics");
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a status connection could not be accepted");
                sleep(PATIENCE).await;
                continue;
            }
        };
        let status = status.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let page = page(&request, &status.borrow());
                async move { Ok::<_, Infallible>(page) }
            });
            // A client that goes away in the middle is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

fn bind(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    if at.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

fn page(request: &Request<Incoming>, status: &Status) -> Response<Full<Bytes>> {
    let (code, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/status") => {
            let body =
                serde_json::to_string_pretty(status).expect("a status has string keys and whole numbers");
            (StatusCode::OK, "application/json", body + "\n")
        }
        (&Method::GET, "/metrics") => (
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            crate::metrics::render(status),
        ),
        (&Method::GET, _) => {
            (StatusCode::NOT_FOUND, "text/plain", "there are /status and /metrics here\n".into())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "this page is read only; use GET\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
