//! One TCP connection of the bus: a task that cuts frames out of what arrives and writes what is
//! queued. It knows nothing of what the frames mean.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hexad_gossip::LinkId;
use hexad_gossip::frame::{FrameError, frame_length};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// A socket is read in pieces of at least this: a few heartbeats of a large cluster.
const READ_CHUNK_BYTES: usize = 16 * 1024;
/// Whoever connects and sends no whole frame for this long is no node: a node sends its first
/// heartbeat as soon as it is connected. Without it strangers could hold all inbound links.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// What the tasks of the bus report to the driver.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection was accepted; it is no link yet.
    Accepted { stream: TcpStream, peer: SocketAddr },
    /// An outbound link is up.
    Connected { link: LinkId, local_ip: IpAddr },
    /// One whole frame.
    Frame { link: LinkId, bytes: Bytes },
    /// The link is gone, and its task ends.
    Closed { link: LinkId, why: Closed },
}

/// Why a link is gone.
#[derive(Debug)]
pub(super) enum Closed {
    /// The other side closed it.
    ByPeer,
    /// Connecting, reading or writing failed.
    Io(io::Error),
    /// Connecting took longer than allowed, or no first frame came.
    TimedOut,
    /// What arrived is no frame.
    BadFrame(FrameError),
}

impl Closed {
    /// Whether nothing listened at the address: evidence of a dead process.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How to open outbound links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    /// `bind-source-addr`: the local address to connect from.
    pub(super) source: Option<IpAddr>,
    /// Longest time that connecting may take.
    pub(super) timeout: Duration,
    /// Idle time before the system probes whether the peer is still there.
    pub(super) keepalive: Duration,
}

/// The driver's side of a link. Dropping it closes the connection and forgets what is queued.
#[derive(Debug)]
pub(super) struct Link {
    /// The other side's address.
    pub(super) peer: SocketAddr,
    /// Whether the other side opened it.
    pub(super) inbound: bool,
    outbox: UnboundedSender<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Link {
    /// Connects to `peer`; reports [`Event::Connected`] or [`Event::Closed`].
    pub(super) fn open(id: LinkId, peer: SocketAddr, dial: Dial, events: Sender<Event>) -> Self {
        Self::spawn(peer, false, |outgoing| async move {
            let stream = match timeout(dial.timeout, connect(peer, dial)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return report_closed(id, error.into(), &events).await,
                Err(_) => return report_closed(id, Closed::TimedOut, &events).await,
            };
            let local_ip = match stream.local_addr() {
                Ok(local) => local.ip(),
                Err(error) => return report_closed(id, error.into(), &events).await,
            };
            let _ = events.send(Event::Connected { link: id, local_ip }).await;
            serve(id, stream, None, outgoing, events).await;
        })
    }

    /// Serves an accepted connection.
    pub(super) fn accepted(
        id: LinkId,
        peer: SocketAddr,
        stream: TcpStream,
        keepalive: Duration,
        events: Sender<Event>,
    ) -> Self {
        Self::spawn(peer, true, |outgoing| async move {
            match configure(&stream, keepalive) {
                Ok(()) => serve(id, stream, Some(FIRST_FRAME_TIMEOUT), outgoing, events).await,
                Err(error) => report_closed(id, error.into(), &events).await,
            }
        })
    }

    fn spawn<F>(peer: SocketAddr, inbound: bool, task: impl FnOnce(Outgoing) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (outbox, frames) = unbounded_channel();
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let outgoing = Outgoing {
            frames,
            queued_bytes: queued_bytes.clone(),
        };
        let task = tokio::spawn(task(outgoing)).abort_handle();
        Self {
            peer,
            inbound,
            outbox,
            queued_bytes,
            task,
        }
    }

    /// Queues a frame.
    pub(super) fn send(&self, frame: Bytes) {
        self.queued_bytes.fetch_add(frame.len(), Relaxed);
        // It fails only when the task has ended, and then its Closed event is on the way.
        let _ = self.outbox.send(frame);
    }

    /// Bytes that wait to be written.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task's side of the send queue.
struct Outgoing {
    frames: UnboundedReceiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
}

async fn connect(peer: SocketAddr, dial: Dial) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = dial
        .source
        .filter(|source| source.is_ipv4() == peer.is_ipv4())
    {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(peer).await?;
    configure(&stream, dial.keepalive)?;
    Ok(stream)
}

fn configure(stream: &TcpStream, keepalive: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // As Redis: three probes, spaced by a third of the idle time.
    let probes = TcpKeepalive::new()
        .with_time(keepalive)
        .with_interval((keepalive / 3).max(Duration::from_secs(1)))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

/// Moves frames in both directions until either ends.
async fn serve(
    id: LinkId,
    mut stream: TcpStream,
    patience: Option<Duration>,
    mut outgoing: Outgoing,
    events: Sender<Event>,
) {
    let (mut read, mut write) = stream.split();
    let why = tokio::select! {
        why = read_frames(id, &mut read, patience, &events) => why,
        why = write_frames(&mut write, &mut outgoing) => why,
    };
    report_closed(id, why, &events).await;
}

async fn report_closed(link: LinkId, why: Closed, events: &Sender<Event>) {
    let _ = events.send(Event::Closed { link, why }).await;
}

async fn read_frames(
    link: LinkId,
    read: &mut ReadHalf<'_>,
    patience: Option<Duration>,
    events: &Sender<Event>,
) -> Closed {
    let mut buffer = BytesMut::new();
    let mut deadline = patience.map(|patience| Instant::now() + patience);
    loop {
        loop {
            match cut_frame(&mut buffer) {
                Ok(Some(bytes)) => {
                    deadline = None;
                    let _ = events.send(Event::Frame { link, bytes }).await;
                }
                Ok(None) => break,
                Err(error) => return Closed::BadFrame(error),
            }
        }
        // Room grows with what has arrived, not with what the frame announces.
        buffer.reserve(READ_CHUNK_BYTES);
        let arrived = match deadline {
            Some(at) => match timeout_at(at, read.read_buf(&mut buffer)).await {
                Ok(arrived) => arrived,
                Err(_) => return Closed::TimedOut,
            },
            None => read.read_buf(&mut buffer).await,
        };
        match arrived {
            Ok(0) => return Closed::ByPeer,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

/// Takes the first frame out of the buffer, if it is whole.
fn cut_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    match frame_length(buffer)? {
        Some(length) if buffer.len() >= length => Ok(Some(buffer.split_to(length).freeze())),
        _ => Ok(None),
    }
}

async fn write_frames(write: &mut WriteHalf<'_>, outgoing: &mut Outgoing) -> Closed {
    while let Some(frame) = outgoing.frames.recv().await {
        if let Err(error) = write.write_all(&frame).await {
            return error.into();
        }
        outgoing.queued_bytes.fetch_sub(frame.len(), Relaxed);
    }
    // The driver dropped its side; it also aborts this task, so nobody reads the reason.
    Closed::ByPeer
}
