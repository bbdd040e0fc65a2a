//! Measures the memory of a call with an allocator that counts per thread.

#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    /// The bytes that this thread holds, and their maximum. Memory that another thread frees is not
    /// subtracted.
    static HELD: Cell<[i64; 2]> = const { Cell::new([0, 0]) };
}

fn note(change: i64) {
    // The counter of a thread does not exist after its end.
    let _ = HELD.try_with(|held| {
        let [now, most] = held.get();
        let now = now + change;
        held.set([now, most.max(now)]);
    });
}

// SAFETY: every call is passed to the system's allocator without changes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as i64 - layout.size() as i64);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// The result of `call`, and the maximum of the bytes that this thread held during it.
pub fn most_of<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.get()[0];
    HELD.set([before, before]);
    let result = call();
    let [_, most] = HELD.get();
    (result, (most - before).max(0) as u64)
}

#[test]
fn memory_is_counted() {
    let (held, most) = most_of(|| {
        drop(vec![0u8; 3 << 20]);
        vec![0u8; 1 << 20]
    });
    assert_eq!(held.len(), 1 << 20);
    assert!((3 << 20..4 << 20).contains(&most), "{most}");
    assert!(most_of(|| 1).1 < 1 << 10);
}
