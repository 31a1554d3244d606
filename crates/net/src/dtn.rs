//! The carrier for links without round trips: a Bundle Protocol daemon (BPv7, RFC 9171) on this machine or
//! near it, by the few requests that dtn7's `dtnd` answers over HTTP.
//!
//! It hands over bytes and fetches what came for a name; what they mean, and whether they arrived, is
//! for the node. Calls wait for the daemon, never longer than the deadlines here.

use crate::answer::{Answer, payload};
use crate::error::Error;
use base::limit;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the daemon may take to let us in, and to answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// The port that `dtnd` listens on if it is told no other.
const PORT: u16 = 3000;
/// What the daemon says of an endpoint where nothing waits.
const NOTHING: &[u8] = b"Nothing to receive";
/// Bytes of an answer beside the payload.
const AROUND: usize = 64 << 10;

/// A daemon, by where it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    // Host and port, as they stand in a request.
    address: String,
}

impl Daemon {
    /// Reads `http://HOST[:PORT]`. Errors: `Address`.
    pub fn new(url: &str) -> Result<Daemon, Error> {
        let wrong = || Error::Address { text: url.into() };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
        if rest.is_empty() || !rest.chars().all(plain) {
            return Err(wrong());
        }
        let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
        });
        let address = if has_port { rest.to_owned() } else { format!("{rest}:{PORT}") };
        Ok(Daemon { address })
    }

    /// The name of the daemon's own node.
    pub fn node(&self) -> Result<String, Error> {
        let answer = self.ask("GET", "/status/nodeid", &[])?;
        Ok(String::from_utf8_lossy(body(&answer)?).trim().to_owned())
    }

    /// From now on the daemon keeps for us what comes for this endpoint.
    pub fn register(&self, endpoint: &str) -> Result<(), Error> {
        body(&self.ask("GET", &format!("/register?{}", checked(endpoint)?), &[])?).map(drop)
    }

    /// Hands over bytes for an endpoint; whether they ever arrive is not told.
    pub fn send(&self, endpoint: &str, lifetime: Duration, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > limit::DTN_BYTES {
            return Err(Error::TooLarge { limit: limit::DTN_BYTES });
        }
        let path = format!("/send?dst={}&lifetime={}s", checked(endpoint)?, lifetime.as_secs());
        body(&self.ask("POST", &path, bytes)?).map(drop)
    }

    /// Takes what waits for an endpoint, the oldest first; none where nothing does. An endpoint that
    /// the daemon forgot is registered again.
    pub fn receive(&self, endpoint: &str) -> Result<Option<Vec<u8>>, Error> {
        let answer = self.ask("GET", &format!("/endpoint?{}", checked(endpoint)?), &[])?;
        if answer.status == 404 {
            self.register(endpoint)?;
            return Ok(None);
        }
        let body = body(&answer)?;
        if body.is_empty() || body == NOTHING {
            return Ok(None);
        }
        // Anybody may send us anything; what is no bundle is passed over.
        Ok(Some(payload(body).unwrap_or_default()))
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Error> {
        let failed = |e: std::io::Error| Error::Daemon { why: format!("{}: {e}", self.address) };
        let mut addresses = self.address.to_socket_addrs().map_err(failed)?;
        let first = addresses.next().ok_or_else(|| Error::Address { text: self.address.clone() })?;
        let mut stream = TcpStream::connect_timeout(&first, CONNECT).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER)).map_err(failed)?;
        let mut request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend(body);
        stream.write_all(&request).map_err(failed)?;
        let most = (limit::DTN_BYTES + AROUND) as u64;
        let mut bytes = Vec::new();
        stream.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > most {
            return Err(Error::TooLarge { limit: limit::DTN_BYTES });
        }
        Answer::read(&bytes).ok_or_else(|| Error::Daemon {
            why: format!("{} does not answer as a daemon does", self.address),
        })
    }
}

// What was asked for, if the daemon gave it.
fn body(answer: &Answer) -> Result<&[u8], Error> {
    match answer.status {
        200..=299 => Ok(&answer.body),
        status => {
            let said = answer.body.get(..200).unwrap_or(&answer.body);
            Err(Error::Daemon { why: format!("it answered {status}: {}", String::from_utf8_lossy(said)) })
        }
    }
}

// What can stand in a request without being escaped.
fn checked(endpoint: &str) -> Result<&str, Error> {
    if is_endpoint(endpoint) { Ok(endpoint) } else { Err(Error::Address { text: endpoint.into() }) }
}

/// Whether a text is the name of an endpoint that can be sent to: `dtn://NODE/NAME` or `ipn:N.M`.
pub fn is_endpoint(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let named = text.strip_prefix("dtn://").is_some_and(|rest| {
        rest.chars().all(plain)
            && rest.split_once('/').is_some_and(|(node, name)| !node.is_empty() && !name.is_empty())
    });
    let numbered = text.strip_prefix("ipn:").is_some_and(|rest| {
        rest.split_once('.').is_some_and(|(a, b)| a.parse::<u64>().is_ok() && b.parse::<u64>().is_ok())
    });
    text.len() <= limit::ENDPOINT_BYTES && (named || numbered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    // A bundle of one payload block behind a block of another type, as RFC 9171 has them.
    fn bundle(data: &[u8]) -> Vec<u8> {
        let mut e = minicbor::Encoder::new(Vec::new());
        e.begin_array().unwrap();
        e.array(3).unwrap().u8(7).unwrap().u8(0).unwrap().str("primary").unwrap();
        e.array(6).unwrap().u8(10).unwrap().u8(2).unwrap().u8(0).unwrap().u8(1).unwrap();
        e.bytes(&[1, 2]).unwrap().bytes(&[3, 4]).unwrap();
        e.array(5).unwrap().u8(1).unwrap().u8(1).unwrap().u8(0).unwrap().u8(0).unwrap().bytes(data).unwrap();
        e.end().unwrap();
        e.into_writer()
    }

    #[test]
    fn the_payload_is_found_and_garbage_has_none() {
        let whole = bundle(b"payload");
        assert_eq!(payload(&whole).as_deref(), Some(&b"payload"[..]));
        for cut in 0..whole.len() - 8 {
            assert_eq!(payload(&whole[..cut]), None, "cut at {cut}");
        }
        for junk in [&b""[..], b"\x9f", b"\x9f\xff", b"\xff\xff\xff", &[0x9f; 4000], b"Nothing to receive"] {
            assert_eq!(payload(junk), None);
        }
    }

    #[test]
    fn addresses_and_endpoints_are_what_can_be_asked() {
        let at = |url| Daemon::new(url).map(|daemon| daemon.address).ok();
        assert_eq!(at("http://127.0.0.1:3000").as_deref(), Some("127.0.0.1:3000"));
        assert_eq!(at("http://rover/").as_deref(), Some("rover:3000"));
        assert_eq!(at("http://[::1]").as_deref(), Some("[::1]:3000"));
        for url in ["127.0.0.1:3000", "https://a", "http://", "http://a/b", "http://a b", "http://a\r\nX: y"]
        {
            assert_eq!(at(url), None, "{url}");
        }
        for good in ["dtn://chorus/~ab12", "dtn://node1/in", "ipn:12.3"] {
            assert!(is_endpoint(good), "{good}");
        }
        let long = format!("dtn://a/{}", "b".repeat(limit::ENDPOINT_BYTES));
        for bad in [
            "",
            "dtn://",
            "dtn://a",
            "dtn://a/",
            "dtn://a/b c",
            "dtn://a/b&x=y",
            "ipn:1",
            "http://a/b",
            &long,
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }

    // A daemon that answers each request with the next of these.
    fn answering(answers: Vec<Vec<u8>>) -> (Daemon, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let daemon = Daemon::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                asked.push(line.trim().to_owned());
                let mut header = String::new();
                let mut length = 0;
                while header != "\r\n" {
                    header.clear();
                    reader.read_line(&mut header).unwrap();
                    if let Some(n) = header.strip_prefix("Content-Length: ") {
                        length = n.trim().parse().unwrap();
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let _ = stream.write_all(&answer);
            }
            asked
        });
        (daemon, asked)
    }

    fn said(status: &str, body: &[u8]) -> Vec<u8> {
        let mut out = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        out.extend(body);
        out
    }

    #[test]
    fn what_waits_is_taken_and_a_forgotten_endpoint_is_registered() {
        let mut cut = said("200 OK", &bundle(b"two"));
        cut.truncate(cut.len() - 3);
        let (daemon, asked) = answering(vec![
            said("404 Not Found", b"No such endpoint registered!"),
            said("200 OK", b"Registered"),
            said("200 OK", &bundle(b"one")),
            said("200 OK", NOTHING),
            cut,
            said("200 OK", b"Sent"),
            said("500 Oops", b"full"),
            b"SSH-2.0-x\r\n\r\n".to_vec(),
        ]);
        let me = "dtn://chorus/~me";
        assert_eq!(daemon.receive(me), Ok(None));
        assert_eq!(daemon.receive(me), Ok(Some(b"one".to_vec())));
        assert_eq!(daemon.receive(me), Ok(None));
        assert!(daemon.receive(me).is_err());
        assert_eq!(daemon.send("dtn://b/x", Duration::from_secs(60), b"bytes"), Ok(()));
        assert!(daemon.send("dtn://b/x", Duration::from_secs(60), b"bytes").is_err());
        assert!(daemon.node().is_err());
        let asked = asked.join().unwrap();
        assert_eq!(asked[1], "GET /register?dtn://chorus/~me HTTP/1.0");
        assert_eq!(asked[5], "POST /send?dst=dtn://b/x&lifetime=60s HTTP/1.0");
        let huge = vec![0; limit::DTN_BYTES + 1];
        assert!(daemon.send("dtn://b/x", Duration::from_secs(1), &huge).is_err());
        assert!(daemon.node().is_err(), "nobody listens any more");
    }
}
