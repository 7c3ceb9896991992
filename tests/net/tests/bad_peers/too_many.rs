//! N057: more clients than the process has descriptors. The server is a process of its own, whose limit is low.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foster::{CancelScope, fail_after};
use foster_net::{Incident, ServeOptions, TcpListener, serve};

use super::hosts::{HOSTS, Host};

/// How many descriptors the server may have, those of its runtime included.
const DESCRIPTORS: usize = 32;
const CLIENTS: usize = 40;

/// Which host the server runs on; only set for the process that is the server.
const HOST: &str = "FOSTER_TEST_SERVER_ON";

/// No test, but the server: it echoes; at a `t` it tries to connect to itself, and answers with the error; at a `q` it
/// stops.
#[test]
fn server() {
    let Ok(number) = std::env::var(HOST) else { return };
    let host: Host = HOSTS[number.parse::<usize>().unwrap()];
    let served: io::Result<()> = host.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        println!("listens at {address}");
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        let first = AtomicBool::new(true);
        let options = ServeOptions::new().on_incident(move |incident| match incident {
            // Once: the test does not read all the time, and to wait for it would hold up the server.
            Incident::Accept { error, pause, .. } => {
                if first.swap(false, Ordering::Relaxed) {
                    println!("incident: {error}, pauses for {pause:?}");
                }
            }
            Incident::Handler { error, .. } => println!("incident: {error}"),
            other => println!("incident: {other:?}"),
        });
        let handler = move |stream: foster_net::TcpStream, _: SocketAddr| {
            let stop = stop.clone();
            async move {
                let mut byte = [0];
                while stream.read(&mut byte).await? == 1 {
                    match &byte {
                        b"q" => drop(stop.cancel("asked to")),
                        b"t" => {
                            let tried = fail_after(Duration::from_secs(10), foster_net::TcpStream::connect(address));
                            let answer = match tried.flatten().await {
                                Ok(_) => "connected\n".to_owned(),
                                Err(error) => format!("{error}\n"),
                            };
                            stream.write_all(answer.as_bytes()).await?;
                        }
                        _ => stream.write_all(&byte).await?,
                    }
                }
                Ok::<_, io::Error>(())
            }
        };
        let _ = scope.run(serve(listener, options, handler)).await;
        Ok(())
    });
    served.unwrap();
    println!("stopped");
}

/// The server, running; killed if the test fails.
struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(host: usize) -> Server {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap());
        command.args(["too_many::server", "--exact", "--nocapture"]).env(HOST, host.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Server { child, output }
    }

    /// Returns the text behind `start` in the next line that has it.
    fn says(&mut self, start: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some(at) = line.find(start) {
                return line[at + start.len()..].trim().to_owned();
            }
            line.clear();
        }
        panic!("the server has ended, and has not said: {start}");
    }

    /// The time of a processor that it has used.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split_whitespace().collect();
        let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
        // Linux counts in hundredths of a second for all programs.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(client: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    match client.read(&mut byte) {
        Ok(1) => Some(byte[0]),
        Ok(_) => panic!("the server has closed a connection"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// N057: clients that the server has no descriptor for are served when there are some again, without a new connect.
/// Meanwhile it says what is missing, and uses little CPU.
#[test]
#[expect(clippy::disallowed_methods, reason = "these clients are no code of foster's")]
fn n057_more_clients_than_descriptors() {
    foster_conformance::check("n057_more_clients_than_descriptors", || {
        for (number, host) in HOSTS.into_iter().enumerate() {
            let mut server = Server::start(number);
            let address: SocketAddr = server.says("listens at ").parse().unwrap();
            let mut clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let mut client = TcpStream::connect(address).unwrap();
                    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    client.write_all(b"x").unwrap();
                    client
                })
                .collect();
            assert_eq!(read(&mut clients[0]), Some(b'x'));
            let said = server.says("incident: ");
            assert!(said.contains("Too many open files") && said.contains("pauses for 100ms"), "on {host:?}: {said}");

            // One that asks for a connection is told what is missing, too.
            clients[0].write_all(b"t").unwrap();
            let mut told = String::new();
            BufReader::new(&clients[0]).read_line(&mut told).unwrap();
            assert!(told.contains("Too many open files") && told.contains(&address.to_string()), "on {host:?}: {told}");

            let (begin, cpu) = (Instant::now(), server.cpu());
            std::thread::sleep(Duration::from_secs(1));
            let (took, used) = (begin.elapsed(), server.cpu() - cpu);
            assert!(used <= took / 20, "on {host:?} it has used {used:?} of {took:?} to wait");

            let waiting: Vec<_> = clients
                .drain(..)
                .enumerate()
                .filter_map(|(number, mut client)| {
                    client.set_nonblocking(true).unwrap();
                    // The first has read its own before. Those that were served are closed.
                    if number == 0 || read(&mut client).is_some() { None } else { Some(client) }
                })
                .collect();
            assert!((1..CLIENTS - 1).contains(&waiting.len()), "on {host:?} {} wait", waiting.len());
            for mut client in waiting {
                client.set_nonblocking(false).unwrap();
                assert_eq!(read(&mut client), Some(b'x'), "on {host:?}");
            }
            TcpStream::connect(address).unwrap().write_all(b"q").unwrap();
            server.says("stopped");
            assert!(server.child.wait().unwrap().success());
        }
    });
}
