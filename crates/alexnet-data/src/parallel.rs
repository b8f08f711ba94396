//! Independent work items, divided among threads.

#[cfg(feature = "prepare")]
use std::collections::BTreeMap;
#[cfg(feature = "prepare")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::bounded;

use crate::Error;
use crate::decode::panic_message;

/// Calls `work` once for each number below `count`, on `workers` threads with one state each, and returns the states in
/// unspecified order. `progress` is called on the caller's thread with the number of items done and the total.
///
/// # Errors
/// The first error of `work`; no further work is started after it.
pub(crate) fn for_each<S: Send>(
    count: usize,
    workers: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<(), Error> + Sync,
    progress: &dyn Fn(usize, usize),
) -> Result<Vec<S>, Error> {
    if workers == 0 {
        return Err(Error::setting("workers", workers, "it must be at least 1"));
    }
    let next = AtomicUsize::new(0);
    let (report, reports) = bounded(workers);
    thread::scope(|scope| {
        let worker = || {
            let (report, next, work, state) = (report.clone(), &next, &work, &state);
            scope.spawn(move || {
                let mut state = state();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return Ok(state);
                    }
                    if let Err(error) = work(&mut state, index) {
                        next.store(count, Ordering::Relaxed);
                        return Err(error);
                    }
                    // The receiver outlives all threads.
                    let _ = report.send(());
                }
            })
        };
        let threads: Vec<_> = (0..workers.min(count)).map(|_| worker()).collect();
        // Otherwise the loop below would never end: this thread would still hold a sender.
        drop(report);
        for (done, ()) in (1..).zip(&reports) {
            progress(done, count);
        }
        let join = |thread: thread::ScopedJoinHandle<'_, Result<S, Error>>| {
            thread
                .join()
                .unwrap_or_else(|panic| Err(Error::WorkerPanicked { message: panic_message(&*panic).to_owned() }))
        };
        threads.into_iter().map(join).collect()
    })
}

/// Like [`for_each`], for a sequence of items whose results are taken in the same order on the caller's thread. At most
/// `window` items are in flight at any time, whichever step is slow.
///
/// `feed` runs on a separate thread and passes each item to the given function until that returns false.
///
/// # Errors
/// The first error of `take`, or else that of `feed`, after all earlier items were taken.
#[cfg(feature = "prepare")]
pub(crate) fn ordered<I: Send, O: Send, S>(
    workers: usize,
    window: usize,
    feed: impl FnOnce(&mut dyn FnMut(I) -> bool) -> Result<(), Error> + Send,
    state: impl Fn(usize) -> S + Sync,
    work: impl Fn(&mut S, I) -> O + Sync,
    mut take: impl FnMut(O) -> Result<(), Error>,
) -> Result<(), Error> {
    if workers == 0 || window == 0 {
        return Err(Error::setting("workers and window", workers.min(window), "they must be at least 1"));
    }
    let (token, tokens) = bounded(window);
    let (send_piece, pieces) = bounded::<(u64, I)>(window);
    let (send_result, results) = bounded(window);
    let panicked =
        |panic: Box<dyn std::any::Any + Send>| Error::WorkerPanicked { message: panic_message(&*panic).into() };
    thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            let mut number = 0;
            feed(&mut |piece| {
                let sent = token.send(()).is_ok() && send_piece.send((number, piece)).is_ok();
                number += 1;
                sent
            })
        });
        for index in 0..workers {
            let (pieces, send_result, state, work) = (pieces.clone(), send_result.clone(), &state, &work);
            scope.spawn(move || {
                let mut state = state(index);
                for (number, piece) in pieces {
                    // State left inconsistent by the panic is never used again: the error ends everything.
                    let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, piece))).map_err(panicked);
                    if send_result.send((number, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((pieces, send_result));
        let mut take_all = || {
            let (mut early, mut next) = (BTreeMap::new(), 0u64);
            for (number, result) in &results {
                early.insert(number, result);
                while let Some(result) = early.remove(&next) {
                    take(result?)?;
                    next += 1;
                    // There is one token per item sent.
                    let _ = tokens.recv();
                }
            }
            Ok(())
        };
        let taken = take_all();
        // This ends the other threads, if they are still running.
        drop((results, tokens));
        let fed = feeder.join().unwrap_or_else(|panic| Err(panicked(panic)));
        taken.and(fed)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn every_number_is_visited_once() {
        for workers in [1, 3, 20] {
            let last = Cell::new((0, 0));
            let push = |seen: &mut Vec<usize>, index| {
                seen.push(index);
                Ok(())
            };
            let states = for_each(10, workers, Vec::new, push, &|done, total| last.set((done, total))).unwrap();
            let mut seen = states.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
            assert_eq!(last.get(), (10, 10));
        }
        assert_eq!(for_each(0, 2, || (), |(), _| Ok(()), &|_, _| {}).unwrap().len(), 0);
    }

    #[test]
    fn errors_and_panics_come_back() {
        let fail = |(): &mut (), index| if index == 3 { Err(Error::EmptyFile) } else { Ok(()) };
        assert!(matches!(for_each(100, 4, || (), fail, &|_, _| {}), Err(Error::EmptyFile)));
        let panic = |(): &mut (), index| if index == 3 { panic!("number {index}") } else { Ok(()) };
        let error = for_each(100, 4, || (), panic, &|_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "a data loading thread panicked: number 3");
        assert!(for_each(1, 0, || (), |(), _| Ok(()), &|_, _| {}).unwrap_err().to_string().contains("workers is 0"));
    }

    #[cfg(feature = "prepare")]
    #[test]
    fn results_are_taken_in_order_and_few_wait() {
        for (workers, window) in [(1, 1), (3, 4), (8, 2)] {
            let begun = AtomicUsize::new(0);
            let feed = |send: &mut dyn FnMut(u64) -> bool| {
                assert!((0..50).all(|number| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    send(number)
                }));
                Ok(())
            };
            let work = |_: &mut (), number: u64| {
                thread::sleep(std::time::Duration::from_micros(number % 7 * 100));
                number * 2
            };
            let mut taken = Vec::new();
            ordered(
                workers,
                window,
                feed,
                |_| (),
                work,
                |result| {
                    // The feeder may hold one more item that it cannot send yet.
                    let waiting = begun.load(Ordering::SeqCst) - taken.len();
                    assert!(waiting <= window + 1, "{waiting} of {window}");
                    taken.push(result);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(taken, (0..50).map(|number| number * 2).collect::<Vec<_>>());
        }
    }

    #[cfg(feature = "prepare")]
    #[test]
    fn whoever_fails_ends_all() {
        let feed = |send: &mut dyn FnMut(u64) -> bool| {
            (0..).all(send);
            Ok(())
        };
        let take = |number| if number == 7 { Err(Error::EmptyFile) } else { Ok(()) };
        assert!(matches!(ordered(3, 4, feed, |_| (), |_, number| number, take), Err(Error::EmptyFile)));
        let panics = |_: &mut (), number: u64| assert!(number != 5, "number 5");
        let error = ordered(3, 4, feed, |_| (), panics, |()| Ok(())).unwrap_err().to_string();
        assert_eq!(error, "a data loading thread panicked: number 5");
        let mut taken = 0;
        let fails = |send: &mut dyn FnMut(u64) -> bool| {
            (0..3).all(send);
            Err(Error::EmptyFile)
        };
        let count = |_| {
            taken += 1;
            Ok(())
        };
        assert!(ordered(2, 2, fails, |_| (), |_, number| number, count).is_err());
        assert_eq!(taken, 3);
    }
}
