//! WebSocket: once the upstream has answered 101, bytes pass both ways until either side ends. Nothing is tunnelled
//! before that answer, and nothing but `websocket` ever is.

use super::{
    meter::{Frames, close_frame},
    ticket::Ticket,
};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use l402_paywall::{Outcome, metering::Closing};
use std::{io, pin::pin, rc::Rc, time::Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Switching Protocols.
const STATUS: u16 = 101;
/// What is read at a time, in bytes.
const BUFFER_BYTES: usize = 8 << 10;
/// The close code of a tunnel whose token has no units left
/// ([RFC 6455 section 7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1)).
const POLICY_VIOLATION: u16 = 1008;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// Whether a request wants to become a WebSocket
/// ([RFC 6455 section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && names_websocket(request.headers())
}

/// Whether an upstream's 101 is about WebSocket.
pub(super) fn is_granted<B>(response: &Response<B>) -> bool {
    names_websocket(response.headers())
}

fn names_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let upgrade = upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let mut options = connection.flat_map(|line| line.split(',')).map(str::trim);
    upgrade && upgrades.next().is_none() && options.any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// Puts the two hop-by-hop fields of the handshake back.
pub(super) fn write_handshake(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// Passes bytes both ways, at most until `deadline`; not before `closing`, the charge where it is known already, is in
/// the ledger.
pub(super) fn start(
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut ticket: Ticket,
    closing: Option<Closing>,
    deadline: Instant,
) {
    tokio::task::spawn_local(async move {
        if let Some(closing) = closing
            && let Err(error) = closing.await
        {
            tracing::error!(request = ticket.request_id(), %error, "a charge is not in the ledger; the tunnel was not opened");
            return ticket.finish(Outcome::Cut { status: STATUS });
        }
        let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) else {
            return ticket.finish(Outcome::Cut { status: STATUS });
        };
        let (client, upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let passing = pass(client, upstream, &mut ticket);
        let passed = tokio::time::timeout_at(deadline.into(), passing).await;
        ticket.finish(passed.ok().and_then(Result::ok).unwrap_or(Outcome::Cut { status: STATUS }));
    });
}

async fn pass<S>(mut client: S, mut upstream: S, ticket: &mut Ticket) -> io::Result<Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if ticket.grows() {
        return pass_counted(client, upstream, ticket).await;
    }
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(Outcome::Served { status: STATUS })
}

/// The same, with units set aside as they are used; the token's last unit ends the tunnel with a close frame.
async fn pass_counted<S>(client: S, upstream: S, ticket: &mut Ticket) -> io::Result<Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let progress = Rc::clone(ticket.progress());
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
    let up = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_upstream.shutdown().await;
            }
            progress.count(read);
            to_upstream.write_all(&buffer[..read]).await?;
        }
    };
    let down = async {
        let (mut buffer, mut frames) = (vec![0; BUFFER_BYTES], Frames::default());
        loop {
            let read = match ticket.next_tick() {
                None => Some(from_upstream.read(&mut buffer).await?),
                // Time is used up while nothing passes, too.
                Some(tick) => {
                    let read = tokio::time::timeout(tick, from_upstream.read(&mut buffer)).await;
                    read.ok().transpose()?
                }
            };
            let data = &buffer[..read.unwrap_or(0)];
            ticket.count(data);
            if !ticket.cover().await.map_err(io::Error::other)? {
                say_farewell(&mut to_client, &mut frames, data).await?;
                return Ok(Outcome::Exhausted { status: STATUS });
            }
            frames.follow(data);
            to_client.write_all(data).await?;
            if read == Some(0) {
                to_client.shutdown().await?;
                return Ok(Outcome::Served { status: STATUS });
            }
        }
    };
    let (mut up, mut down) = (pin!(up), pin!(down));
    tokio::select! {
        ended = &mut down => return ended,
        ended = &mut up => ended?,
    }
    down.await
}

/// Ends the stream of frames at the next boundary, if there is one in what has come already: nothing more passes unpaid.
async fn say_farewell<W: AsyncWrite + Unpin>(
    to_client: &mut W,
    frames: &mut Frames,
    data: &[u8],
) -> io::Result<()> {
    let rest = match (frames.is_at_boundary(), frames.has_closed()) {
        (_, true) => None,
        (true, false) => Some(0),
        (false, false) => frames.next_boundary(data).filter(|_| !frames.has_closed()),
    };
    if let Some(end) = rest {
        to_client.write_all(&data[..end]).await?;
        to_client.write_all(&close_frame(POLICY_VIOLATION, "the token's units ran out")).await?;
    }
    to_client.shutdown().await
}
