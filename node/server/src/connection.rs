//! A connection: one task of its worker that moves bytes between a socket and a [`Session`].
//!
//! Reading goes on while replies wait to be taken, as Redis does it: a client may send a pipeline
//! of any length before it reads the first reply. What it may pile up is bounded by
//! `client-output-buffer-limit` and `client-query-buffer-limit`.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::clients::{Client, NewClient, counted_output, flag};
use crate::config::ClientClass;
use crate::gate;
use crate::replication::{HandOver, Order};
use crate::server::Server;
use crate::session::{Session, Stop, ToReplica, Wait};
use crate::worker::{self, Worker, unix_ms};

/// Least room kept for the rest of a command that arrived in part.
const MIN_INPUT_BYTES: usize = 16 * 1024;
/// An idle connection keeps no input buffer above this.
const INPUT_KEPT_BYTES: usize = 64 * 1024;

/// An accepted socket on its way to a worker.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP; not yet registered with a runtime.
    Tcp(std::net::TcpStream),
    /// A Unix socket, and the path that it listens on.
    Unix(std::os::unix::net::UnixStream, String),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Handed over.
    Gone,
}

/// What a connection waits for before it takes its next command.
enum Blocked {
    /// The reply of a command that another thread answers.
    Reply(Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
    /// The end of CLIENT PAUSE, or a moment at which the world can be stopped; the command that
    /// waits for it is still in the input.
    Retry(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A client's connection.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    client: Arc<Client>,
    server: &'static Server,
    /// Input that could not be executed yet.
    input: Vec<u8>,
    /// A command to run before the rest of the input, once the wait is over.
    input_again: Vec<u8>,
    /// Length that `input` must reach before it is worth parsing.
    input_wanted: usize,
    /// Replies that the socket has not taken yet.
    output: Vec<u8>,
    output_sent: usize,
    blocked: Option<Blocked>,
    closing: bool,
    /// The connection is a replica's from now on, and leaves with what it has.
    hand_over: Option<Box<ToReplica>>,
    registered: bool,
    /// The client lives on with the replication thread.
    left: bool,
}

/// Why a connection ends; none of them is an error of the server.
enum End {
    Closed,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End::Closed
    }
}

impl Connection {
    /// Takes over an accepted socket: registers it with this thread's runtime and as a client.
    pub(crate) fn open(socket: Socket, server: &'static Server, worker: usize) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let (stream, addr, laddr, fd, unix) = match socket {
            Socket::Tcp(stream) => {
                let (addr, laddr) = (stream.peer_addr()?.to_string(), stream.local_addr()?);
                let fd = stream.as_raw_fd();
                let stream = TcpStream::from_std(stream)?;
                (Stream::Tcp(stream), addr, laddr.to_string(), fd, false)
            }
            Socket::Unix(stream, path) => {
                let fd = stream.as_raw_fd();
                let name = format!("{path}:0");
                (
                    Stream::Unix(UnixStream::from_std(stream)?),
                    name.clone(),
                    name,
                    fd,
                    true,
                )
            }
        };
        let now_ms = unix_ms();
        let client = server.clients.connect(NewClient {
            addr,
            laddr,
            fd,
            unix,
            worker,
            now_ms,
        });
        Ok(Self {
            stream,
            session: Session::new(server, client.clone()),
            client,
            server,
            input: Vec::new(),
            input_again: Vec::new(),
            input_wanted: 0,
            output: Vec::new(),
            output_sent: 0,
            blocked: None,
            closing: false,
            hand_over: None,
            registered: false,
            left: false,
        })
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.client.is_killed() {
                return Poll::Ready(End::Closed);
            }
            if let Err(end) = self.write_pending(cx) {
                return Poll::Ready(end);
            }
            if self.hand_over.is_some() {
                if self.output.is_empty() {
                    self.leave();
                    return Poll::Ready(End::Closed);
                }
                return Poll::Pending;
            }
            if self.closing {
                // What is left goes out before the connection closes.
                if self.output.is_empty() {
                    return Poll::Ready(End::Closed);
                }
                return Poll::Pending;
            }
            if let Some(blocked) = &mut self.blocked {
                let ready = match blocked {
                    Blocked::Reply(reply) => reply.as_mut().poll(cx).map(Some),
                    Blocked::Retry(wait) => wait.as_mut().poll(cx).map(|()| None),
                };
                match ready {
                    Poll::Ready(reply) => self.unblock(reply),
                    Poll::Pending => match self.read_while_blocked(cx) {
                        Ok(()) => return Poll::Pending,
                        Err(end) => return Poll::Ready(end),
                    },
                }
                self.process_input(cx);
                continue;
            }
            match ready!(self.read(cx)) {
                Ok(()) => {}
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// Reads once and executes what became complete.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if !self.input.is_empty() {
            ready!(self.read_more(cx))?;
            if self.input.len() >= self.input_wanted {
                self.process_input(cx);
            }
            return Poll::Ready(Ok(()));
        }
        worker::with(|worker| {
            let mut buffer = std::mem::take(&mut worker.read_buffer);
            buffer.clear();
            let result = self.stream.poll_read(cx, &mut buffer);
            if let Poll::Ready(Ok(n)) = result
                && n > 0
            {
                worker.stats.reads.add(1);
                worker.stats.input_bytes.add(n as u64);
                let consumed = self.execute(worker, &mut buffer, cx);
                self.keep_input(&buffer[consumed..]);
            }
            worker.read_buffer = buffer;
            match ready!(result)? {
                0 => Poll::Ready(Err(End::Closed)),
                _ => Poll::Ready(Ok(())),
            }
        })
    }

    /// Appends to `input`, up to `client-query-buffer-limit`.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let missing = self.input_wanted.saturating_sub(self.input.len());
        // Room for what was announced grows with what has arrived, never ahead of it.
        let room = missing.clamp(MIN_INPUT_BYTES, self.input.len().max(INPUT_KEPT_BYTES));
        self.input.reserve(room);
        let n = ready!(self.stream.poll_read(cx, &mut self.input))?;
        worker::with(|worker| {
            worker.stats.reads.add(1);
            worker.stats.input_bytes.add(n as u64);
            let limit = worker.config.client_query_buffer_limit_bytes;
            if self.input.len() > limit {
                worker.stats.query_buffer_disconnections.add(1);
                tracing::warn!(
                    "Closing client that reached max query buffer length: {}",
                    String::from_utf8_lossy(&self.client.describe(worker.now_ms))
                );
                return Poll::Ready(Err(End::Closed));
            }
            Poll::Ready(if n == 0 { Err(End::Closed) } else { Ok(()) })
        })
    }

    /// While a command waits, its client may send more, and a closed connection is noticed.
    fn read_while_blocked(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Poll::Ready(result) = self.read_more(cx) {
            result?;
        }
        Ok(())
    }

    /// Executes the complete commands of `input`.
    fn process_input(&mut self, cx: &mut Context<'_>) {
        if self.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        let consumed = worker::with(|worker| self.execute(worker, &mut input, cx));
        if !self.input_again.is_empty() {
            self.keep_input(&input[consumed..]);
            return;
        }
        if consumed == input.len() {
            input.clear();
            if input.capacity() > INPUT_KEPT_BYTES {
                input = Vec::new();
            }
        } else if consumed > 0 {
            input.drain(..consumed);
        }
        self.input = input;
        self.client
            .live
            .query_bytes
            .store(self.input.len(), Relaxed);
    }

    fn keep_input(&mut self, rest: &[u8]) {
        if !self.input_again.is_empty() {
            self.input = std::mem::take(&mut self.input_again);
        }
        if !rest.is_empty() {
            self.input.extend_from_slice(rest);
        }
        self.client
            .live
            .query_bytes
            .store(self.input.len(), Relaxed);
        self.client
            .live
            .query_capacity
            .store(self.input.capacity(), Relaxed);
    }

    /// Runs the session over `buffer` until it needs more bytes, waits, or ends; returns how many
    /// bytes were consumed.
    fn execute(&mut self, worker: &mut Worker, buffer: &mut [u8], cx: &mut Context<'_>) -> usize {
        let mut consumed = 0;
        loop {
            let (used, stop) = self.session.process(worker, &mut buffer[consumed..]);
            consumed += used;
            self.send_replies(worker, cx);
            match stop {
                Stop::NeedInput { at_least } => {
                    self.input_wanted = at_least;
                    return consumed;
                }
                Stop::HandOver(replica) => {
                    self.hand_over = Some(replica);
                    return consumed;
                }
                Stop::Flush if self.closing => return consumed,
                Stop::Flush => {}
                Stop::Close => {
                    self.close_after_reply();
                    return buffer.len();
                }
                Stop::Wait { wait, again } => {
                    self.input_again = again;
                    self.block(wait, cx);
                    return consumed;
                }
            }
        }
    }

    fn block(&mut self, wait: Wait, cx: &mut Context<'_>) {
        let server = self.server;
        self.client.live.flags.fetch_or(flag::BLOCKED, Relaxed);
        self.blocked = Some(match wait {
            Wait::Reply(reply) => Blocked::Reply(reply),
            Wait::Unpaused => Blocked::Retry(Box::pin(server.pause.ended())),
            Wait::Until(over) => Blocked::Retry(over),
            Wait::World => Blocked::Retry(Box::pin(tokio::time::sleep(gate::RETRY))),
        });
        // The loop of `drive` polls it next; nothing else would wake this task for it.
        cx.waker().wake_by_ref();
    }

    fn unblock(&mut self, reply: Option<Vec<u8>>) {
        self.blocked = None;
        self.client.live.flags.fetch_and(!flag::BLOCKED, Relaxed);
        self.input_wanted = 0;
        if let Some(reply) = reply {
            self.session.late_reply(&reply, &mut self.output);
        }
    }

    /// Gives the socket to the replication thread.
    fn leave(&mut self) {
        let Some(to_replica) = self.hand_over.take() else {
            return;
        };
        let socket = match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Tcp(stream) => stream.into_std(),
            // A Unix socket has no address that a replica could be told by: Redis feeds it all the
            // same, and here it is closed.
            Stream::Unix(_) | Stream::Gone => return,
        };
        match socket {
            Ok(socket) => {
                self.left = true;
                let hand_over = HandOver {
                    socket,
                    input: std::mem::take(&mut self.input),
                    replica: to_replica.replica,
                    start: to_replica.start,
                };
                let order = Order::Attach(Box::new(hand_over));
                self.server.replication.order(order);
            }
            Err(error) => tracing::warn!("A replica's connection cannot be handed over: {error}"),
        }
    }

    fn close_after_reply(&mut self) {
        self.closing = true;
        self.client
            .live
            .flags
            .fetch_or(flag::CLOSE_AFTER_REPLY, Relaxed);
    }

    /// Writes the batch's replies straight from the worker's buffer, if nothing waits before them.
    fn send_replies(&mut self, worker: &mut Worker, cx: &mut Context<'_>) {
        let mut sent = 0;
        let limit = worker.config.client_output_buffer_limit[ClientClass::Normal as usize];
        let pending = self.output.len() - self.output_sent + worker.reply.len();
        // As Redis: who asks for more than it may have gets nothing of it.
        let too_much = limit.hard_bytes > 0 && counted_output(pending as u64) > limit.hard_bytes;
        if self.output.is_empty() && !too_much {
            while sent < worker.reply.len() {
                match self.stream.poll_write(cx, &worker.reply.as_slice()[sent..]) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        sent += n;
                        worker.stats.writes.add(1);
                        worker.stats.output_bytes.add(n as u64);
                    }
                    Poll::Ready(_) => {
                        self.client.kill();
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        if sent < worker.reply.len() {
            self.output
                .extend_from_slice(&worker.reply.as_slice()[sent..]);
            self.check_output_limits(worker);
        }
        worker.reply.clear();
    }

    /// Applies `client-output-buffer-limit normal` to what waits to be written.
    fn check_output_limits(&self, worker: &Worker) {
        let pending = (self.output.len() - self.output_sent) as u64;
        let limit = worker.config.client_output_buffer_limit[ClientClass::Normal as usize];
        if self.client.note_output(pending, &limit, worker.now_ms) {
            self.server.output_limit_disconnections.increment();
            self.client.kill_for_output(worker.now_ms);
        }
    }

    /// Writes what is left from earlier batches; leaves a waker behind if the socket is full.
    fn write_pending(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.output_sent < self.output.len() {
            match self.stream.poll_write(cx, &self.output[self.output_sent..]) {
                Poll::Ready(Ok(0)) => return Err(End::Closed),
                Poll::Ready(Ok(n)) => {
                    self.output_sent += n;
                    worker::with(|worker| {
                        worker.stats.writes.add(1);
                        worker.stats.output_bytes.add(n as u64);
                    });
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => {
                    worker::with(|worker| self.check_output_limits(worker));
                    return Ok(());
                }
            }
        }
        if !self.output.is_empty() {
            self.output = Vec::new();
            self.output_sent = 0;
            worker::with(|worker| self.check_output_limits(worker));
        }
        Ok(())
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.registered {
            // A spawned task has one waker for its whole life.
            self.client.set_waker(cx.waker());
            self.registered = true;
        }
        self.drive(cx).map(|_| ())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.close();
        if !self.left {
            self.server.clients.disconnect(self.client.id);
        }
        self.server.connection_closed(self.client.worker);
    }
}

impl Stream {
    /// Appends what the socket has to `buffer`, as far as its capacity goes.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let room = buffer.capacity() - buffer.len();
        let mut read = |fd: BorrowedFd<'_>| {
            let (taken, _) = rustix::net::recv(fd, spare_capacity(buffer), RecvFlags::empty())?;
            Ok(taken)
        };
        loop {
            ready!(match self {
                Stream::Tcp(stream) => stream.poll_read_ready(cx),
                Stream::Unix(stream) => stream.poll_read_ready(cx),
                Stream::Gone => return Poll::Ready(Ok(0)),
            })?;
            match self.try_io(Interest::READABLE, room, &mut read) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes as much of `bytes` as the socket takes.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut write = |fd: BorrowedFd<'_>| Ok(rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)?);
        loop {
            ready!(match self {
                Stream::Tcp(stream) => stream.poll_write_ready(cx),
                Stream::Unix(stream) => stream.poll_write_ready(cx),
                Stream::Gone => return Poll::Ready(Ok(0)),
            })?;
            match self.try_io(Interest::WRITABLE, bytes.len(), &mut write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// One system call on a ready socket. It is made without the C library, whose `send` and
    /// `recv` are cancellation points, which costs as much as all of the parsing. What is done for
    /// less than `wanted` bytes has used the readiness up: the next event brings it back, so
    /// nobody asks the kernel in vain.
    fn try_io(
        &self,
        interest: Interest,
        wanted: usize,
        call: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let on = |call: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>| match self {
            Stream::Tcp(stream) => stream.try_io(interest, || call(stream.as_fd())),
            Stream::Unix(stream) => stream.try_io(interest, || call(stream.as_fd())),
            Stream::Gone => Ok(0),
        };
        let result = on(call);
        if result.as_ref().is_ok_and(|&done| 0 < done && done < wanted) {
            let _ = on(&mut |_| Err(io::ErrorKind::WouldBlock.into()));
        }
        result
    }
}
