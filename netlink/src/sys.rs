//! System calls that the standard library does not offer; the crate's only
//! `unsafe` code.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub fn set_int(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: `value` lives through the call and its size is given.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast::<c_void>(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

pub fn set_bytes(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `value.len()` bytes of a live slice.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast::<c_void>(),
            value.len() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// Reads an option into `value`; the length is what the kernel wrote.
pub fn get_bytes(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes of a live slice.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    check(result)?;
    Ok((length as usize).min(value.len()))
}

/// Attaches a classic BPF program to a socket; replaces an earlier one.
pub fn attach_filter(fd: BorrowedFd<'_>, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies `len` instructions, which live through the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast::<c_void>(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the new descriptor is owned by nobody else.
    unsafe {
        let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Which of the descriptors can be read; none at the timeout or a signal.
pub fn poll(fds: [BorrowedFd<'_>; 2], timeout: Option<Duration>) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let milliseconds = timeout.map_or(-1, |t| {
        c_int::try_from(t.as_millis().max(1)).unwrap_or(c_int::MAX)
    });
    // SAFETY: the array lives through the call and its length is given.
    let result = unsafe {
        libc::poll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            milliseconds,
        )
    };
    match check(result) {
        Ok(_) => Ok(polled.map(|p| p.revents != 0)),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok([false; 2]),
        Err(e) => Err(e),
    }
}

/// Moves the calling thread into a network namespace.
pub fn enter_network_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: changes only this thread; takes no pointers.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Gives the calling thread a new, empty network namespace.
pub fn unshare_network_namespace() -> io::Result<()> {
    // SAFETY: changes only this thread; takes no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Gives the calling thread a mount namespace of its own.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: changes only this thread; takes no pointers. CLONE_FS is implied
    // by the kernel for CLONE_NEWNS, so the working directory is unshared too.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }).map(drop)
}

pub fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |s: Option<&CStr>| s.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: all strings are null-terminated and live through the call.
    let result = unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            std::ptr::null(),
        )
    };
    check(result).map(drop)
}

pub fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: the string is null-terminated and lives through the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

pub fn unread_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: FIONREAD writes one int, which lives through the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
    usize::try_from(bytes).map_err(io::Error::other)
}

/// Whether the process runs as root, as far as permissions go.
pub fn is_root() -> bool {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// A raw socket for ICMPv6 that never waits. The kernel checks and fills in
/// the checksums (RFC 3542 §3.1).
pub fn icmpv6_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers; the new descriptor is owned by nobody else.
    unsafe {
        let fd = check(libc::socket(libc::AF_INET6, kind, libc::IPPROTO_ICMPV6))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

pub fn send_to(fd: BorrowedFd<'_>, packet: &[u8], to: SocketAddrV6) -> io::Result<()> {
    let to = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: to.port().to_be(),
        sin6_flowinfo: to.flowinfo(),
        sin6_addr: libc::in6_addr {
            s6_addr: to.ip().octets(),
        },
        sin6_scope_id: to.scope_id(),
    };
    // SAFETY: the kernel reads the packet and the address, whose lengths are
    // given and which live through the call.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            packet.as_ptr().cast::<c_void>(),
            packet.len(),
            0,
            (&raw const to).cast::<libc::sockaddr>(),
            size_of::<libc::sockaddr_in6>() as libc::socklen_t,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A datagram that was read, and what the socket was asked to tell about it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Octets in the buffer; what did not fit is cut.
    pub length: usize,
    pub from: SocketAddr,
    /// The TTL or hop limit that it came with.
    pub ttl: Option<u8>,
    /// The address that it was sent to, and the index of the interface that it
    /// came in by.
    pub arrival: Option<(IpAddr, u32)>,
}

/// Reads one datagram into `buffer`.
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    /// Room for several control messages, aligned as `struct cmsghdr` wants.
    #[repr(C, align(8))]
    struct Control([u8; 128]);
    let mut control = Control([0; 128]);
    // SAFETY: plain data of C, for which all zeros are valid.
    let mut from: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast::<c_void>(),
        iov_len: buffer.len(),
    };
    // SAFETY: as above.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut from).cast::<c_void>();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast::<c_void>();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: all that the message points to lives through the call, with its
    // length given.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let (mut ttl, mut arrival) = (None, None);
    // SAFETY: the kernel has filled in `message`, whose control buffer is
    // aligned and still alive; the macros stay within its length, and each
    // value is read only where its whole length is there.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(h) = header.as_ref() {
            let data = libc::CMSG_DATA(header);
            let holds = |size: usize| h.cmsg_len >= libc::CMSG_LEN(size as u32) as usize;
            match (h.cmsg_level, h.cmsg_type) {
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) | (libc::IPPROTO_IP, libc::IP_TTL)
                    if holds(size_of::<c_int>()) =>
                {
                    ttl = u8::try_from(data.cast::<c_int>().read_unaligned()).ok();
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    let to = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                    arrival = u32::try_from(info.ipi_ifindex).ok().map(|i| (to.into(), i));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                    if holds(size_of::<libc::in6_pktinfo>()) =>
                {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    let to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    arrival = Some((to.into(), info.ipi6_ifindex));
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Received {
        length: length.min(buffer.len()),
        from: socket_address(&from),
        ttl,
        arrival,
    })
}

/// The address in `storage`; the unspecified one for a family that has none.
fn socket_address(storage: &libc::sockaddr_storage) -> SocketAddr {
    let at = &raw const *storage;
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the storage is large enough and aligned for every address,
            // and the family says which one it holds.
            let from = unsafe { at.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr));
            SocketAddr::from((ip, u16::from_be(from.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let from = unsafe { at.cast::<libc::sockaddr_in6>().read() };
            SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(from.sin6_addr.s6_addr),
                u16::from_be(from.sin6_port),
                from.sin6_flowinfo,
                from.sin6_scope_id,
            ))
        }
        _ => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// Puts the calling thread into a real-time class: it runs before all that is
/// not in one, and gives way only to higher priorities (1 to 99).
pub fn set_real_time(priority: c_int) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the kernel reads the parameters, which live through the call; 0 is
    // the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
    check(result).map(drop)
}

/// The index of the interface of this name.
pub fn interface_index(name: &CStr) -> io::Result<u32> {
    // SAFETY: the string is null-terminated and lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}
