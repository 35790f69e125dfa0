//! REPLCONF: what a connection says about itself before it becomes a replica, and after.

use hexad_resp::{Args, parse_i64};

/// The longest address that a replica may announce is one byte shorter. (Redis 7.0:
/// `NET_HOST_STR_LEN`.)
const HOST_BYTES: usize = 256;

/// What a connection has said with REPLCONF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// The port that it serves clients at; 0 if it has not said. Redis takes any integer.
    pub listening_port: i64,
    /// Its own idea of its address (`replica-announce-ip`), if any.
    pub announced_ip: Option<Vec<u8>>,
    /// It can take an RDB without a length in front (`capa eof`).
    pub eof: bool,
    /// It understands ids behind +CONTINUE (`capa psync2`).
    pub psync2: bool,
    /// It wants an RDB and no stream behind it.
    pub rdb_only: bool,
    /// What it wants of the data set; `None`: all of it.
    pub filter: Option<Filter>,
}

/// `REPLCONF rdb-filter-only`: what the RDB is to have; nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Functions.
    pub functions: bool,
}

/// What REPLCONF asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplConf {
    /// Answer +OK.
    Ok,
    /// Answer with this error, `ERR` included.
    Error(Vec<u8>),
    /// A replica has applied the stream up to this offset. No answer. From a connection that is
    /// no replica it means nothing.
    Ack(u64),
    /// The primary asks how far this server has applied its stream: the answer is a REPLCONF ACK
    /// (`ack_command`), or none if it comes from anybody else.
    GetAck,
    /// No answer, and nothing to do.
    Nothing,
}

impl Replica {
    /// REPLCONF with these arguments, without the command's name. As in Redis 7.0, what stands
    /// before a wrong option has been taken.
    pub fn replconf(&mut self, args: Args<'_>) -> ReplConf {
        if !args.len().is_multiple_of(2) {
            return error("syntax error");
        }
        for at in (0..args.len()).step_by(2) {
            let (option, value) = (&args[at], &args[at + 1]);
            let done = match option.to_ascii_lowercase().as_slice() {
                b"listening-port" => self.set_port(value),
                b"ip-address" => self.set_ip(value),
                b"capa" => self.set_capability(value),
                b"rdb-only" => self.set_rdb_only(value),
                b"rdb-filter-only" => self.set_filter(value),
                b"ack" => return ack(value),
                b"getack" => return ReplConf::GetAck,
                _ => Err(with_bytes("Unrecognized REPLCONF option: ", option)),
            };
            if let Err(error) = done {
                return ReplConf::Error(error);
            }
        }
        ReplConf::Ok
    }

    /// How log lines name the replica behind a connection from `ip`.
    pub fn name(&self, ip: &str) -> String {
        let ip = match &self.announced_ip {
            Some(announced) => crate::log::printable(announced),
            None => ip.to_owned(),
        };
        match self.listening_port {
            0 => format!("{ip}:<unknown-replica-port>"),
            port => format!("{ip}:{port}"),
        }
    }

    fn set_port(&mut self, value: &[u8]) -> Result<(), Vec<u8>> {
        self.listening_port = parse_i64(value).ok_or_else(not_an_integer)?;
        Ok(())
    }

    fn set_ip(&mut self, value: &[u8]) -> Result<(), Vec<u8>> {
        if value.len() >= HOST_BYTES {
            return Err(format!(
                "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                value.len()
            )
            .into_bytes());
        }
        self.announced_ip = (!value.is_empty()).then(|| value.to_vec());
        Ok(())
    }

    /// Unknown capabilities are those of newer replicas.
    fn set_capability(&mut self, value: &[u8]) -> Result<(), Vec<u8>> {
        self.eof |= value.eq_ignore_ascii_case(b"eof");
        self.psync2 |= value.eq_ignore_ascii_case(b"psync2");
        Ok(())
    }

    fn set_rdb_only(&mut self, value: &[u8]) -> Result<(), Vec<u8>> {
        self.rdb_only = match parse_i64(value).ok_or_else(not_an_integer)? {
            0 => false,
            1 => true,
            _ => return Err(b"ERR value is out of range, value must between 0 and 1".to_vec()),
        };
        Ok(())
    }

    fn set_filter(&mut self, value: &[u8]) -> Result<(), Vec<u8>> {
        let mut filter = Filter::default();
        let words = hexad_resp::split_words(value)
            .ok_or_else(|| b"ERR Missing rdb-filter-only values".to_vec())?;
        // It counts from here on, an unknown word or not.
        self.filter = Some(filter);
        for word in words {
            if !word.eq_ignore_ascii_case(b"functions") {
                return Err(with_bytes("Unsupported rdb-filter-only option: ", &word));
            }
            filter.functions = true;
            self.filter = Some(filter);
        }
        Ok(())
    }
}

fn ack(value: &[u8]) -> ReplConf {
    match parse_i64(value).map(u64::try_from) {
        Some(Ok(offset)) => ReplConf::Ack(offset),
        _ => ReplConf::Nothing,
    }
}

fn error(text: &str) -> ReplConf {
    ReplConf::Error(format!("ERR {text}").into_bytes())
}

fn not_an_integer() -> Vec<u8> {
    b"ERR value is not an integer or out of range".to_vec()
}

fn with_bytes(text: &str, bytes: &[u8]) -> Vec<u8> {
    [b"ERR ", text.as_bytes(), bytes].concat()
}
