//! A wire between two processes that fails on demand: cut, slow, silent, closed on one side, led elsewhere. It knows
//! nothing of what it carries.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Where a wire leads.
#[derive(Debug, Clone)]
pub enum Place {
    Socket(PathBuf),
    Address(String),
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

pub struct Wire {
    shared: Arc<Shared>,
    address: String,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    to: Place,
    silent: bool,
    delay: Duration,
    ended: bool,
    connections: Vec<Arc<Connection>>,
}

struct Connection {
    client: Socket,
    server: Socket,
}

impl Wire {
    pub fn new(to: Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State { to, silent: false, delay: Duration::ZERO, ended: false, connections: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if serving.state().ended {
                    return;
                }
                // Nobody there: the client is hung up on, as it would be without us.
                let _refused = client.and_then(|client| serving.connect(client));
            }
        });
        Self { shared, address }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Every connection breaks.
    pub fn cut(&self) {
        for connection in std::mem::take(&mut self.shared.state().connections) {
            connection.client.shutdown(Shutdown::Both);
            connection.server.shutdown(Shutdown::Both);
        }
    }

    /// One side of every connection hears that the other will say no more; what it says itself still arrives.
    pub fn close_half(&self, towards: Side) {
        for connection in &self.shared.state().connections {
            match towards {
                Side::Client => connection.client.shutdown(Shutdown::Write),
                Side::Server => connection.server.shutdown(Shutdown::Write),
            }
        }
    }

    /// A black hole: whatever is said waits, and new connections get no answer, until it speaks again.
    pub fn set_silent(&self, silent: bool) {
        self.shared.state().silent = silent;
        self.shared.changed.notify_all();
    }

    /// Every piece of what is said takes so much longer.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// New connections lead there.
    pub fn lead_to(&self, place: Place) {
        self.shared.state().to = place;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.set_silent(false);
        self.cut();
        // Wakes the listener, so that it sees the end.
        let _woken = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let to = self.state().to.clone();
        let connection = Arc::new(Connection { client: Socket::Tcp(client), server: Socket::connect(&to)? });
        let mut state = self.state();
        // Those that both sides have left.
        state.connections.retain(|connection| Arc::strong_count(connection) > 1);
        state.connections.push(connection.clone());
        for side in [Side::Client, Side::Server] {
            let (shared, connection) = (self.clone(), connection.clone());
            // A side that hangs up ends its direction, no more.
            std::thread::spawn(move || drop(shared.carry(&connection, side)));
        }
        Ok(())
    }

    /// Carries what `from` says until it says no more.
    fn carry(&self, connection: &Connection, from: Side) -> std::io::Result<()> {
        let (mut source, target) = match from {
            Side::Client => (&connection.client, &connection.server),
            Side::Server => (&connection.server, &connection.client),
        };
        let mut piece = vec![0; 64 * 1024];
        loop {
            let count = source.read(&mut piece).unwrap_or(0);
            let delay = self.wait_while_silent();
            std::thread::sleep(delay);
            let mut to = target;
            if count == 0 || to.write_all(&piece[..count]).is_err() {
                target.shutdown(Shutdown::Write);
                return Ok(());
            }
        }
    }

    fn wait_while_silent(&self) -> Duration {
        self.changed.wait_while(self.state(), |state| state.silent).unwrap().delay
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn connect(place: &Place) -> std::io::Result<Self> {
        Ok(match place {
            Place::Socket(path) => Self::Unix(UnixStream::connect(path)?),
            Place::Address(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        })
    }

    /// Where it is shut already there is nothing to do.
    fn shutdown(&self, how: Shutdown) {
        let _shut_already = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }
}

impl Read for &Socket {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).read(bytes),
            Socket::Unix(stream) => (&*stream).read(bytes),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).write(bytes),
            Socket::Unix(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
