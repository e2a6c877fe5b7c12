//! Addresses of sockets as bytes, for another process on this machine.

use std::io;
use std::{ptr, slice};

use nix::libc;
use socket2::{SockAddr, SockAddrStorage};

/// The address as the system has it.
pub(crate) fn address_bytes(address: &SockAddr) -> &[u8] {
    // SAFETY: an address owns a storage of which so many bytes are initialized, and it is borrowed.
    unsafe { slice::from_raw_parts(address.as_ptr().cast(), address.len() as usize) }
}

/// The address that these bytes were.
///
/// # Errors
///
/// `InvalidData` for more bytes than any address has.
pub(crate) fn address_of(bytes: &[u8]) -> io::Result<SockAddr> {
    let Some(length) = length_of(bytes) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let fill = |storage: *mut SockAddrStorage, len: *mut libc::socklen_t| {
        // SAFETY: the storage is zeroed and not shorter than `bytes`, and both are ours alone. As
        // the system has no invalid address that is harmful to have, any bytes will do.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), storage.cast(), bytes.len());
            *len = length;
        }
        Ok(())
    };
    // SAFETY: `fill` initializes as many bytes as it says.
    unsafe { SockAddr::try_init(fill) }.map(|((), address)| address)
}

fn length_of(bytes: &[u8]) -> Option<libc::socklen_t> {
    let fits = bytes.len() <= size_of::<SockAddrStorage>();
    fits.then(|| libc::socklen_t::try_from(bytes.len()).ok()).flatten()
}
