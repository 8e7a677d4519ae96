//! Shape (b): a runtime and a listener per core (`SO_REUSEPORT`), each with its own idle upstream connections.

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use std::{
    cell::RefCell,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};

type Idle = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

pub fn run(listen: SocketAddr, upstream: SocketAddr) {
    let workers: Vec<_> = (0..2).map(|_| std::thread::spawn(move || work(listen, upstream))).collect();
    for worker in workers {
        worker.join().expect("a worker");
    }
}

fn work(listen: SocketAddr, upstream: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        socket.set_reuse_port(true).expect("an option");
        socket.bind(&listen.into()).expect("an address");
        socket.listen(1024).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        let listener = TcpListener::from_std(socket.into()).expect("a listener");
        let idle = Idle::default();
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let idle = Rc::clone(&idle);
            spawn_local(async move {
                let answer = service_fn(move |request| forward(Rc::clone(&idle), upstream, request));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
}

async fn forward(
    idle: Idle,
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Reply>, hyper::Error> {
    let kept = idle.borrow_mut().pop();
    let mut sender = match kept {
        Some(mut sender) => {
            sender.ready().await?;
            sender
        }
        None => {
            let stream = TcpStream::connect(upstream).await.expect("the upstream");
            stream.set_nodelay(true).expect("a socket");
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            spawn_local(connection);
            sender
        }
    };
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Reply { body, sender: Some(sender), idle }))
}

/// Gives the connection back when the body is over.
struct Reply {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    idle: Idle,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let complete = self.body.is_end_stream();
        self.idle.borrow_mut().extend(self.sender.take().filter(|_| complete));
    }
}
