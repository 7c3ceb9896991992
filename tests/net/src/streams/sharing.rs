//! N1: a stream in two tasks, and in halves.

use std::io;
use std::sync::Arc;

use foster::sync::Event;
use foster::{Nursery, fail_after, move_on_after, nursery, sleep};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::kinds::{Kind, Numbers, open_descriptors, read_to_end, waiting};
use foster_conformance::harness::ms;

/// N006: one task waits to read and another to write. Each is woken by what it waits for.
pub async fn n006_a_reader_and_a_writer_have_wakers_of_their_own<K: Kind>() {
    const LENGTH: usize = 20_000_000;
    let (one, other) = K::pair().await;
    let one = Arc::new(one);
    let both = nursery(async |n: Nursery<io::Error>| {
        let (reads, writes) = (one.clone(), one.clone());
        let reader = n.spawn(async move {
            let mut buf = [0; 5];
            reads.read_exact(&mut buf).await.map(|()| buf)
        });
        let writer = n.spawn(async move { writes.write_all(&vec![1; LENGTH]).await });
        sleep(ms(50)).await;
        other.write_all(b"hello").await?;
        assert_eq!(fail_after(ms(10_000), reader).await.unwrap().unwrap(), *b"hello");
        assert!(!writer.is_finished(), "the writer was to be blocked");
        let mut all = vec![0; LENGTH];
        other.read_exact(&mut all).await?;
        fail_after(ms(10_000), writer).await.unwrap().unwrap();
        Ok(())
    });
    both.await.unwrap();
}

/// N007, D1: a second reader is refused at once, and the first still gets the next data.
pub async fn n007_a_second_reader_is_refused<K: Kind>() {
    let (one, other) = K::pair().await;
    let one = Arc::new(one);
    let reads = nursery(async |n: Nursery<io::Error>| {
        let (reads, waits) = (one.clone(), Arc::new(Event::new()));
        let first = n.spawn({
            let waits = waits.clone();
            async move { waiting(reads.read(&mut [0; 8]), &waits).await }
        });
        waits.wait().await;
        let mut buf = [0; 8];
        assert_eq!(one.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(one.peek(&mut buf).await.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(AsyncReadExt::read(&mut &*one, &mut buf).await.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        one.write_all(b"the other direction is free").await?;
        other.write_all(b"data").await?;
        assert_eq!(fail_after(ms(10_000), first).await.unwrap().unwrap(), 4);
        Ok(())
    });
    reads.await.unwrap();
}

/// N007, D1: a second writer is refused at once, and the first writes on.
pub async fn n007_a_second_writer_is_refused<K: Kind>() {
    const LENGTH: usize = 20_000_000;
    let (one, other) = K::pair().await;
    let one = Arc::new(one);
    let writes = nursery(async |n: Nursery<io::Error>| {
        let (writer, waits) = (one.clone(), Arc::new(Event::new()));
        let first = n.spawn({
            let waits = waits.clone();
            async move { waiting(writer.write_all(&vec![1; LENGTH]), &waits).await }
        });
        waits.wait().await;
        assert_eq!(one.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(AsyncWriteExt::write(&mut &*one, b"x").await.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        let mut all = vec![0; LENGTH];
        other.read_exact(&mut all).await?;
        assert!(all.iter().all(|byte| *byte == 1));
        fail_after(ms(10_000), first).await.unwrap().unwrap();
        Ok(())
    });
    writes.await.unwrap();
}

/// N007, D1: of those who poll a shared stream, each gets what comes, or learns later that there is more; none sleeps
/// on.
pub async fn n007_polls_of_a_shared_stream_lose_no_wake_up<K: Kind>() {
    const READERS: usize = 8;
    let (one, other) = K::pair().await;
    let one = Arc::new(one);
    let reads = nursery(async |n: Nursery<io::Error>| {
        for _ in 0..READERS {
            let one = one.clone();
            n.spawn(async move {
                let mut buf = [0; 1];
                AsyncReadExt::read_exact(&mut &*one, &mut buf).await
            });
        }
        // One that loses interest leaves nothing behind that would matter.
        let mut buf = [0; 1];
        assert!(move_on_after(ms(10), AsyncReadExt::read(&mut &*one, &mut buf)).await.is_none());
        for _ in 0..READERS {
            sleep(ms(5)).await;
            other.write_all(b"x").await?;
        }
        Ok(())
    });
    fail_after(ms(10_000), reads).await.expect("a reader sleeps on").unwrap();
}

/// N007: a reader that was cancelled leaves the direction to the next one.
pub async fn n007_a_direction_is_free_after_a_cancel<K: Kind>() {
    let (one, other) = K::pair().await;
    let mut buf = [0; 8];
    assert!(move_on_after(ms(10), one.read(&mut buf)).await.is_none());
    other.write_all(b"data").await.unwrap();
    assert_eq!(one.read(&mut buf).await.unwrap(), 4);
}

/// N013: a write half that is dropped is the end for the other side; the read half goes on until the other side closes.
pub async fn n013_the_write_half_closes_its_direction<K: Kind>() {
    let (one, mut other) = K::pair().await;
    let halves = nursery(async |n: Nursery<io::Error>| {
        let (mut read, mut write) = one.into_split();
        let reader = n.spawn(async move {
            let mut all = Vec::new();
            read.read_to_end(&mut all).await.map(|_| all)
        });
        write.write_all(b"question").await?;
        sleep(ms(20)).await;
        drop(write);
        assert_eq!(read_to_end(&other).await?, b"question");
        assert!(!reader.is_finished());
        let (_, mut lent) = other.split();
        lent.write_all(b"answer").await?;
        drop(other);
        assert_eq!(reader.await.unwrap(), b"answer");
        Ok(())
    });
    halves.await.unwrap();
}

/// N013: halves of one stream come together again, and those of two do not; a forgotten one closes nothing.
pub async fn n013_halves_come_together_again<K: Kind>() {
    let (one, other) = K::pair().await;
    let (read, write) = one.into_split();
    let (others_read, others_write) = other.into_split();
    let apart = read.reunite(others_write).unwrap_err();
    let one = apart.read.reunite(write).unwrap();
    apart.write.forget();
    let mut read = others_read;
    one.write_all(b"still open").await.unwrap();
    let mut buf = [0; 10];
    read.read_exact(&mut buf).await.unwrap();
    let nothing = move_on_after(ms(20), one.read(&mut buf)).await;
    assert!(nothing.is_none(), "the forgotten half has closed something: {nothing:?}");
}

/// N026: after a nursery with many waiting tasks was cancelled, no descriptor is left; nor after random opening,
/// cancelling and dropping.
pub async fn n026_cancelled_tasks_leave_no_descriptor<K: Kind>() {
    const PAIRS: usize = 100;
    // Descriptors that the runtime itself opens are there then.
    drop(K::pair().await);
    let before = open_descriptors();
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        pairs.push(K::pair().await);
    }
    assert!(open_descriptors() >= before.map(|before| before + 2 * PAIRS));
    let waiting = nursery(async |n: Nursery<io::Error>| {
        for (one, other) in pairs {
            n.spawn(async move {
                let _open = other;
                one.read(&mut [0; 8]).await.map(drop)
            });
        }
        sleep(ms(20)).await;
        n.cancel_children("enough");
        Ok(())
    });
    fail_after(ms(10_000), waiting).await.unwrap().unwrap();
    assert_eq!(open_descriptors(), before);

    let mut numbers = Numbers::new(26);
    let mut kept = Vec::new();
    for _ in 0..200 {
        let (one, other) = K::pair().await;
        let mut buf = [0; 8];
        match numbers.below(4) {
            0 => assert!(move_on_after(ms(1), one.read(&mut buf)).await.is_none()),
            1 => one.write_all(b"unread").await.unwrap(),
            2 => kept.push((one, other)),
            _ => kept.clear(),
        }
    }
    drop(kept);
    assert_eq!(open_descriptors(), before);
}
