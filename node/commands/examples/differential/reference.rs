//! The real server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::{Call, Failure};

/// A running server and a connection to it; stopped when dropped.
pub(crate) struct Reference {
    server: Child,
    input: BufReader<TcpStream>,
    output: TcpStream,
}

impl Reference {
    /// Starts `program` on `port` of the loopback address.
    pub(crate) fn start(program: &str, port: u16) -> Result<Self, Failure> {
        let options = [
            "--save",
            "",
            "--bind",
            "127.0.0.1",
            "--enable-debug-command",
            "yes",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let server = Command::new(program)
            .args(["--port", &port.to_string()])
            .args(options)
            .stdout(Stdio::null())
            .spawn()?;
        let connection = connect(port)?;
        Ok(Self {
            server,
            input: BufReader::new(connection.try_clone()?),
            output: connection,
        })
    }

    /// Sends commands without waiting for their replies.
    pub(crate) fn send(&mut self, calls: &[Call]) -> Result<(), Failure> {
        let mut request = Vec::new();
        for call in calls {
            write!(request, "*{}\r\n", call.len())?;
            for word in call {
                write!(request, "${}\r\n", word.len())?;
                request.extend_from_slice(word);
                request.extend_from_slice(b"\r\n");
            }
        }
        Ok(self.output.write_all(&request)?)
    }

    /// Reads one whole reply.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let mut reply = Vec::new();
        let mut pending = 1usize;
        while pending > 0 {
            let start = reply.len();
            if self.input.read_until(b'\n', &mut reply)? == 0 {
                return Err("the reference server closed the connection".into());
            }
            pending -= 1;
            let text = std::str::from_utf8(&reply[start + 1..]).ok();
            let number = text.and_then(|text| text.trim_end().parse::<i64>().ok());
            match (reply[start], number) {
                (b'$' | b'=', Some(len @ 0..)) => {
                    let body = reply.len();
                    reply.resize(body + len as usize + 2, 0);
                    self.input.read_exact(&mut reply[body..])?;
                }
                (b'*', Some(len @ 0..)) => pending += len as usize,
                (b'%', Some(len @ 0..)) => pending += 2 * len as usize,
                _ => {}
            }
        }
        Ok(reply)
    }

    /// Sends a command and reads its reply.
    pub(crate) fn call(&mut self, call: &Call) -> Result<Vec<u8>, Failure> {
        self.send(std::slice::from_ref(call))?;
        self.receive()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // Nothing can be done about a server that is gone already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn connect(port: u16) -> Result<TcpStream, Failure> {
    for _ in 0..100 {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(connection) => {
                connection.set_nodelay(true)?;
                return Ok(connection);
            }
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
    Err("the reference server does not answer".into())
}
