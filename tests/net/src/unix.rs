//! N5: Unix sockets.

use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::combine::join;
use foster::{fail_after, move_on_after, sleep};
use foster_net::{UnixDatagram, UnixListener, UnixStream};

use crate::kinds::read_to_end;
use foster_conformance::harness::ms;

/// A folder of its own, removed with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("foster-net-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn echo(listener: &UnixListener, client: impl Future<Output = io::Result<UnixStream>>) {
    let (client, accepted) = join((client, listener.accept())).await;
    let (client, (accepted, _)) = (client.unwrap(), accepted.unwrap());
    client.write_all(b"hello").await.unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&accepted).await.unwrap(), b"hello");
}

/// N088: paths of any sort.
pub async fn n088_paths_of_any_sort() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let text = folder.join("text").to_str().unwrap().to_owned();
    let bytes = folder.join(std::ffi::OsStr::from_bytes(b"no-utf8-\xff"));
    let listener = UnixListener::bind(text.as_str()).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(Path::new(&text)));
    echo(&listener, UnixStream::connect(&text)).await;
    let listener = UnixListener::bind(&bytes).unwrap();
    echo(&listener, UnixStream::connect(&bytes)).await;
    let long = folder.join("x".repeat(200));
    assert_eq!(UnixListener::bind(long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

/// N089: an abstract name is no file, and goes with its listener; what is not there is told apart.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub async fn n089_abstract_names() {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    let folder = Folder::new();
    let name = format!("foster-net-{}", std::process::id());
    let address = UnixAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    echo(&listener, UnixStream::connect_addr(&address)).await;
    drop(listener);
    let missing = UnixStream::connect_addr(&address).await.unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::ConnectionRefused);
    let missing = UnixStream::connect(folder.join("missing")).await.unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    drop(UnixListener::bind_addr(&address).unwrap());
}

/// N090, D5: a stale file is in the way, unless it is to be replaced; that of a live listener stays in any case.
pub async fn n090_stale_files_are_replaced_on_demand() {
    let folder = Folder::new();
    let path = folder.join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let live = UnixListener::bind_replacing_stale(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(UnixListener::bind_replacing_stale(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
    // The questions whether it lives are connections, too; they have ended.
    for _ in 0..2 {
        assert_eq!(read_to_end(&live.accept().await.unwrap().0).await.unwrap(), b"");
    }
    echo(&live, UnixStream::connect(&path)).await;
}

/// N090, D5: a listener removes its own file, and only that, when it is closed or dropped; not if it goes on elsewhere.
pub async fn n090_a_listener_removes_its_own_file() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let listen = || UnixListener::bind_replacing_stale(&path).unwrap().remove_file_on_drop().unwrap();
    let listener = listen();
    echo(&listener, UnixStream::connect(&path)).await;
    drop(listener);
    assert!(!path.exists(), "dropped");
    let listener = listen();
    let close = async {
        foster::yield_now().await;
        listener.close();
    };
    let (accepted, ()) = join((fail_after(ms(5000), listener.accept()), close)).await;
    assert_eq!(accepted.unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert!(!path.exists(), "closed, though it is not dropped yet");
    // Another server has moved in: its file is not ours.
    let (listener, moved) = (listen(), folder.join("moved"));
    std::fs::rename(&path, &moved).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    echo(&other, UnixStream::connect(&path)).await;
    assert!(path.exists() && moved.exists());
    drop(other);
    // It has moved in before we have asked for the removal of ours.
    std::fs::remove_file(&path).unwrap();
    let (listener, moved) = (UnixListener::bind(&path).unwrap(), folder.join("moved before"));
    std::fs::rename(&path, &moved).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener.remove_file_on_drop().unwrap().remove_file_on_drop().unwrap());
    assert!(path.exists(), "it belongs to the other server");
    echo(&other, UnixStream::connect(&path)).await;
    drop(other);
    let listener = listen().into_std().unwrap();
    assert!(path.exists(), "it listens on, in the standard library");
    drop(listener);
    let (unnamed, _) = UnixStream::pair().unwrap();
    assert!(unnamed.local_addr().unwrap().is_unnamed());
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        let name = UnixAddr::from_abstract_name(format!("foster-own-{}", std::process::id())).unwrap();
        let refused = UnixListener::bind_addr(&name).unwrap().remove_file_on_drop();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

/// N093: the kernel says who is at the other end, of a pair and of a connection.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub async fn n093_the_kernel_knows_the_peer() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (client, accepted) = join((UnixStream::connect(&path), listener.accept())).await;
    let (one, other) = UnixStream::pair().unwrap();
    let owner = std::fs::metadata(&folder.0).unwrap();
    for stream in [client.unwrap(), accepted.unwrap().0, one, other] {
        let peer = stream.peer_credentials().unwrap();
        assert_eq!((peer.pid, peer.uid, peer.gid), (Some(std::process::id()), owner.uid(), owner.gid()));
    }
}

/// N091: a file that is no socket is left alone.
pub async fn n091_other_files_are_left_alone() {
    let folder = Folder::new();
    let path = folder.join("file");
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(UnixListener::bind_replacing_stale(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

/// N094: the receiver has the sender's path and can answer; one without a name has no address; order and bounds are
/// kept.
pub async fn n094_datagrams_keep_order_and_bounds() {
    let folder = Folder::new();
    let (one, other) = (folder.join("one"), folder.join("other"));
    let (first, second) = (UnixDatagram::bind(&one).unwrap(), UnixDatagram::bind(&other).unwrap());
    first.send_to(b"hello", &other).await.unwrap();
    let mut buf = [0; 64];
    let (length, from) = second.recv_from(&mut buf).await.unwrap();
    assert_eq!((&buf[..length], from.as_pathname()), (&b"hello"[..], Some(&*one)));
    second.send_to_addr(b"answer", &from).await.unwrap();
    assert_eq!(first.recv(&mut buf).await.unwrap(), 6);
    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.connect(&other).unwrap();
    for number in 0..5u8 {
        unnamed.send(&vec![number; usize::from(number) + 1]).await.unwrap();
    }
    for number in 0..5u8 {
        let (length, from) = second.recv_from(&mut buf).await.unwrap();
        assert_eq!((length, buf[0], from.is_unnamed()), (usize::from(number) + 1, number, true));
    }
}

/// N095: a full queue makes the sender wait, loses nothing, and wakes it.
pub async fn n095_a_full_queue_is_back_pressure() {
    let (one, other) = UnixDatagram::pair().unwrap();
    let mut sent = 0u32;
    while let Some(done) = move_on_after(ms(50), one.send(&sent.to_be_bytes())).await {
        assert_eq!(done.unwrap(), 4);
        sent += 1;
        assert!(sent < 1 << 20, "it never blocks");
    }
    let last = sent.to_be_bytes();
    let drains = async {
        let mut buf = [0; 8];
        for number in 0..=sent {
            assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
            assert_eq!(buf[..4], number.to_be_bytes());
        }
    };
    let (last, ()) = fail_after(ms(20_000), join((one.send(&last), drains))).await.expect("a wake-up was lost");
    assert_eq!(last.unwrap(), 4);
}

/// N095: a socket that is not connected waits for room, too, where the host does not tell of it; and does not keep a
/// processor busy with it.
pub async fn n095_a_full_queue_of_another_is_waited_for() {
    let folder = Folder::new();
    let path = folder.join("receiver");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let mut sent = 0;
    while let Some(done) = move_on_after(ms(50), sender.send_to(b"more", &path)).await {
        done.unwrap();
        sent += 1;
        assert!(sent < 1 << 20, "it never blocks");
    }
    let polls = AtomicUsize::new(0);
    let mut last = pin!(sender.send_to(b"last", &path));
    let mut last = poll_fn(|cx| {
        polls.fetch_add(1, Ordering::SeqCst);
        last.as_mut().poll(cx)
    });
    assert!(move_on_after(ms(300), &mut last).await.is_none());
    assert!(polls.load(Ordering::SeqCst) < 200, "{polls:?} polls in 300 ms");
    let drains = async {
        let mut buf = [0; 4];
        for _ in 0..=sent {
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 4);
        }
        buf
    };
    let (done, received) = fail_after(ms(20_000), join((last, drains))).await.expect("a wake-up was lost");
    assert_eq!((done.unwrap(), &received), (4, b"last"));
}

/// N024: std sockets come and go.
pub async fn n024_std_sockets_come_and_go() {
    let (one, other) = UnixStream::pair().unwrap();
    one.write_all(b"unread").await.unwrap();
    let other = UnixStream::from_std(other.into_std().unwrap()).unwrap();
    drop(one);
    assert_eq!(read_to_end(&other).await.unwrap(), b"unread");
    let folder = Folder::new();
    let path = folder.join("socket");
    let listener = UnixListener::from_std(UnixListener::bind(&path).unwrap().into_std().unwrap()).unwrap();
    echo(&listener, UnixStream::connect(&path)).await;
    let (one, other) = UnixDatagram::pair().unwrap();
    let one = UnixDatagram::from_std(one.into_std().unwrap()).unwrap();
    one.send(b"x").await.unwrap();
    assert_eq!(other.recv(&mut [0; 8]).await.unwrap(), 1);
}

/// N097: a listener that is dropped refuses, and ends who waits in its backlog.
pub async fn n097_a_dropped_listener_refuses() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let waits = UnixStream::connect(&path).await.unwrap();
    drop(listener);
    let end = fail_after(ms(5000), waits.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

/// N097, N054: who waits because the backlog is full is refused when the listener is dropped; who is in the backlog is
/// at its end.
pub async fn n097_a_dropped_listener_refuses_who_waits() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let Some((listener, mut clients)) = full_backlog(&path).await else { return };
    let drops = async {
        // A moment in which the other one waits.
        sleep(ms(30)).await;
        drop(listener);
    };
    let (waits, ()) = join((fail_after(ms(10_000), UnixStream::connect(&path)), drops)).await;
    assert_eq!(waits.expect("it waits on").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let end = clients.pop().expect("there is room for one").read(&mut [0; 8]).await;
    assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
}

/// Bytes behind a message with descriptors are read, though the host ends a read there.
pub async fn n024_messages_with_descriptors_do_not_end_a_stream() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::{IoSlice, Write};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
    let ours = UnixStream::from_std(ours).unwrap();
    for _ in 0..3 {
        let mut space = [MaybeUninit::uninit(); 128];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [theirs.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&theirs, &[IoSlice::new(b"first")], &mut control, SendFlags::empty()).unwrap();
        (&theirs).write_all(b"second").unwrap();
        let mut buf = [0; 100];
        let (mut text, mut length) = (Vec::new(), 0);
        while length < 11 {
            let more = ours.read(&mut buf).await.unwrap();
            text.extend_from_slice(&buf[..more]);
            length += more;
        }
        assert_eq!(text, b"firstsecond");
    }
}

/// A listener whose backlog is full, and who is in it; none if the backlog has no end here.
async fn full_backlog(path: &Path) -> Option<(UnixListener, Vec<UnixStream>)> {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    // That of std may be of 4096 sockets, which are more than a process may have open.
    rustix::net::listen(&listener, 4).unwrap();
    let (listener, mut clients) = (UnixListener::from_std(listener).unwrap(), Vec::new());
    while let Some(client) = move_on_after(ms(100), UnixStream::connect(path)).await {
        clients.push(client.unwrap());
        if clients.len() > 100 {
            println!("the backlog has no end here");
            return None;
        }
    }
    Some((listener, clients))
}

/// N054, for Unix sockets: who finds the backlog full waits for room, and gets in.
pub async fn n054_a_full_backlog_is_waited_for() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let Some((listener, _clients)) = full_backlog(&path).await else { return };
    let (client, accepted) = join((UnixStream::connect(&path), listener.accept())).await;
    client.and(accepted.map(drop)).unwrap();
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! unix_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; unix, unix [] {
            n088_paths_of_any_sort,
            n090_stale_files_are_replaced_on_demand,
            n094_datagrams_keep_order_and_bounds,
            n095_a_full_queue_is_back_pressure,
            n097_a_dropped_listener_refuses,
        });
        #[cfg(any(target_os = "linux", target_os = "android"))]
        $crate::behaviours!($runner; unix_on_linux, unix [] {
            n089_abstract_names,
        });
    };
}

/// The behaviours of this section with sockets of the standard library, and with files.
#[doc(hidden)]
#[macro_export]
macro_rules! unix_host_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; unix_host, unix [] {
            n024_std_sockets_come_and_go,
            n054_a_full_backlog_is_waited_for,
            n097_a_dropped_listener_refuses_who_waits,
            n024_messages_with_descriptors_do_not_end_a_stream,
            n095_a_full_queue_of_another_is_waited_for,
            n090_a_listener_removes_its_own_file,
            n091_other_files_are_left_alone,
        });
        #[cfg(any(target_os = "linux", target_os = "android"))]
        $crate::behaviours!($runner; unix_host_on_linux, unix [] {
            n093_the_kernel_knows_the_peer,
        });
    };
}
