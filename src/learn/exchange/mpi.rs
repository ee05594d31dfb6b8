//! The few functions of Open MPI that training needs, as its C interface has them. Open MPI's handles are addresses of
//! objects in its library; another MPI fails to link for lack of them.
//!
//! The crate `mpi` does the same and more, but its bindings are generated with bindgen, which needs libclang and turns on a
//! feature of `syn`: everything with a derive macro would be compiled twice, for builds with and without it.

use crate::base::{Error, Result};
use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

#[repr(C)]
struct Object([u8; 0]);

type Request = *mut c_void;

#[link(name = "mpi")]
unsafe extern "C" {
    static ompi_mpi_comm_world: Object;
    static ompi_mpi_float: Object;
    static ompi_mpi_byte: Object;
    static ompi_mpi_unsigned: Object;

    fn MPI_Init_thread(count: *mut c_int, args: *mut c_void, wanted: c_int, got: *mut c_int) -> c_int;
    fn MPI_Finalize() -> c_int;
    fn MPI_Abort(comm: *const Object, code: c_int) -> c_int;
    fn MPI_Comm_rank(comm: *const Object, rank: *mut c_int) -> c_int;
    fn MPI_Comm_size(comm: *const Object, size: *mut c_int) -> c_int;
    fn MPI_Ialltoall(
        send: *const c_void,
        send_count: c_int,
        send_type: *const Object,
        receive: *mut c_void,
        receive_count: c_int,
        receive_type: *const Object,
        comm: *const Object,
        request: *mut Request,
    ) -> c_int;
    fn MPI_Iallgather(
        send: *const c_void,
        send_count: c_int,
        send_type: *const Object,
        receive: *mut c_void,
        receive_count: c_int,
        receive_type: *const Object,
        comm: *const Object,
        request: *mut Request,
    ) -> c_int;
    fn MPI_Allgatherv(
        send: *const c_void,
        send_count: c_int,
        send_type: *const Object,
        receive: *mut c_void,
        receive_counts: *const c_int,
        starts: *const c_int,
        receive_type: *const Object,
        comm: *const Object,
    ) -> c_int;
    fn MPI_Ibcast(
        buffer: *mut c_void,
        count: c_int,
        datatype: *const Object,
        root: c_int,
        comm: *const Object,
        request: *mut Request,
    ) -> c_int;
    fn MPI_Wait(request: *mut Request, status: *mut c_void) -> c_int;
    fn MPI_Test(request: *mut Request, done: *mut c_int, status: *mut c_void) -> c_int;
}

/// MPI_THREAD_FUNNELED: there are other threads, and one of them calls MPI.
const FUNNELED: c_int = 1;

/// Exit code of a job of which a rank panicked: that of a Rust program that does.
pub const PANICKED: i32 = 101;

/// A type of numbers that travel.
pub trait Number: Copy + Default {
    #[doc(hidden)]
    fn datatype() -> *const c_void;
}

impl Number for f32 {
    fn datatype() -> *const c_void {
        (&raw const ompi_mpi_float).cast()
    }
}

impl Number for u32 {
    fn datatype() -> *const c_void {
        (&raw const ompi_mpi_unsigned).cast()
    }
}

impl Number for u8 {
    fn datatype() -> *const c_void {
        (&raw const ompi_mpi_byte).cast()
    }
}

fn datatype<T: Number>() -> *const Object {
    T::datatype().cast()
}

fn world() -> *const Object {
    &raw const ompi_mpi_comm_world
}

/// MPI counts with 31 bits.
fn count(length: usize) -> c_int {
    c_int::try_from(length).expect("fewer than 2³¹ numbers travel at once")
}

/// By default MPI ends the job with a message at the first error; nothing else comes here.
fn check(code: c_int) {
    assert_eq!(code, 0, "an MPI function failed");
}

/// Where numbers begin. An empty slice may begin at any address, and MPI takes some of them for a sign.
fn address<T>(numbers: &[T]) -> *const c_void {
    if numbers.is_empty() { ptr::null() } else { numbers.as_ptr().cast() }
}

/// As [`address`], to write to.
fn address_mut<T>(numbers: &mut [T]) -> *mut c_void {
    if numbers.is_empty() { ptr::null_mut() } else { numbers.as_mut_ptr().cast() }
}

/// Begins MPI; once per process. Returns rank and size, or an error when this MPI cannot be called beside other threads.
pub fn init() -> Result<(usize, usize)> {
    let (mut got, mut rank, mut size) = (0, 0, 0);
    // SAFETY: null arguments are allowed; the results are written to live variables.
    unsafe {
        check(MPI_Init_thread(
            ptr::null_mut::<c_int>(),
            ptr::null_mut::<*mut c_char>().cast(),
            FUNNELED,
            &mut got,
        ));
        check(MPI_Comm_rank(world(), &mut rank));
        check(MPI_Comm_size(world(), &mut size));
    }
    if let Err(error) = enough_threads(got) {
        finalize();
        return Err(error);
    }
    Ok((rank as usize, size as usize))
}

/// The levels are ordered: a higher one allows more.
fn enough_threads(got: c_int) -> Result<()> {
    if got >= FUNNELED {
        return Ok(());
    }
    Err(Error::usage(
        format!("this MPI has thread level {got}, and training beside other threads needs level {FUNNELED}"),
        "use an Open MPI that was built with threads (MPI_THREAD_FUNNELED), such as scripts/setup-mpi installs",
    ))
}

/// Ends MPI.
pub fn finalize() {
    // SAFETY: no request is open, since every one is waited for where it is made.
    check(unsafe { MPI_Finalize() });
}

/// Ends all processes of the job.
pub fn abort(code: i32) {
    // SAFETY: takes plain values.
    unsafe { MPI_Abort(world(), code) };
}

/// A transfer that is under way, with the buffers that it reads and writes. MPI uses them until it is waited for, which
/// dropping does too; it must not be forgotten ([`std::mem::forget`]).
#[must_use]
pub struct Transfer<B> {
    request: Request,
    /// Absent once they are given back.
    buffers: Option<B>,
}

impl<B> Transfer<B> {
    fn new(request: Request, buffers: B) -> Self {
        Self { request, buffers: Some(buffers) }
    }

    /// The buffers, when it is done.
    pub fn wait(mut self) -> B {
        self.finish();
        self.buffers.take().expect("a transfer is waited for once")
    }

    /// Whether it is done.
    pub fn is_done(&mut self) -> bool {
        let mut done = 0;
        // SAFETY: as in `finish`.
        check(unsafe { MPI_Test(&mut self.request, &mut done, ptr::null_mut()) });
        done != 0
    }

    fn finish(&mut self) {
        // SAFETY: the request was made by MPI; one that is done already is the null request, which may be waited for.
        check(unsafe { MPI_Wait(&mut self.request, ptr::null_mut()) });
    }
}

impl<B> Drop for Transfer<B> {
    fn drop(&mut self) {
        if self.buffers.is_none() {
            return;
        }
        // The buffers end here, and MPI may still write into them. In a panic the other ranks may never make their part of
        // it, so there is nothing to wait for.
        if std::thread::panicking() {
            abort(PANICKED);
        }
        self.finish();
    }
}

/// What a transfer reads, and what it writes.
pub type Pair<'a, T> = (&'a mut [T], &'a mut [T]);

/// Sends the i-th equal piece of `send` to rank i, and puts the pieces that come one after the other.
pub fn all_to_all<'a, T: Number>(
    send: &'a mut [T],
    receive: &'a mut [T],
    size: usize,
) -> Transfer<Pair<'a, T>> {
    assert!(send.len() == receive.len() && send.len().is_multiple_of(size), "pieces of one size");
    let each = count(send.len() / size);
    let mut request = ptr::null_mut();
    // SAFETY: both slices hold `size` pieces of `each` numbers, and the transfer keeps them until it is waited for.
    check(unsafe {
        MPI_Ialltoall(
            address(send),
            each,
            datatype::<T>(),
            address_mut(receive),
            each,
            datatype::<T>(),
            world(),
            &mut request,
        )
    });
    Transfer::new(request, (send, receive))
}

/// Puts the pieces of all ranks one after the other, on all of them.
pub fn all_gather<'a, T: Number>(
    send: &'a mut [T],
    receive: &'a mut [T],
    size: usize,
) -> Transfer<Pair<'a, T>> {
    assert_eq!(send.len() * size, receive.len(), "pieces of one size");
    let each = count(send.len());
    let mut request = ptr::null_mut();
    // SAFETY: `receive` holds one piece of the length of `send` per rank; the transfer keeps both until it is waited for.
    check(unsafe {
        MPI_Iallgather(
            address(send),
            each,
            datatype::<T>(),
            address_mut(receive),
            each,
            datatype::<T>(),
            world(),
            &mut request,
        )
    });
    Transfer::new(request, (send, receive))
}

/// Fills the buffers of all ranks with that of rank 0.
pub fn broadcast<T: Number>(buffer: &mut [T]) -> Transfer<&mut [T]> {
    let mut request = ptr::null_mut();
    // SAFETY: the transfer keeps the buffer until it is waited for.
    check(unsafe {
        MPI_Ibcast(address_mut(buffer), count(buffer.len()), datatype::<T>(), 0, world(), &mut request)
    });
    Transfer::new(request, buffer)
}

/// Puts pieces of `lengths` one after the other, on all ranks.
pub fn gather_pieces<T: Number>(own: &[T], lengths: &[usize]) -> Vec<T> {
    let mut all = vec![T::default(); lengths.iter().sum()];
    let mut next = 0;
    let starts: Vec<c_int> = lengths
        .iter()
        .map(|length| {
            next += length;
            count(next - length)
        })
        .collect();
    let lengths: Vec<c_int> = lengths.iter().map(|&length| count(length)).collect();
    // SAFETY: `all` holds the pieces of all lengths at their starts, and the call returns when it is done.
    check(unsafe {
        MPI_Allgatherv(
            address(own),
            count(own.len()),
            datatype::<T>(),
            address_mut(&mut all),
            lengths.as_ptr(),
            starts.as_ptr(),
            datatype::<T>(),
            world(),
        )
    });
    all
}

#[cfg(test)]
mod tests;
