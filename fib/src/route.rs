//! What is known of one route, in 16 bytes.

/// Where a route points, in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target(u32);

impl Target {
    pub const NONE: Target = Target(0);
    pub const BLACKHOLE: Target = Target(1);
    /// Ours and in the kernel, but in no form that we write: replace it.
    pub const OTHER: Target = Target(2);
    const FIRST_SLOT: u32 = 3;

    pub const fn slot(slot: u32) -> Target {
        Target(slot + Self::FIRST_SLOT)
    }

    pub const fn as_slot(self) -> Option<u32> {
        self.0.checked_sub(Self::FIRST_SLOT)
    }

    pub fn is_none(self) -> bool {
        self == Target::NONE
    }
}

/// Why the route is not as wanted; an errno, or one of the constants that no
/// errno reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble(pub u8);

impl Trouble {
    pub const NONE: Trouble = Trouble(0);
    pub const UNREACHABLE: Trouble = Trouble(253);
    pub const FOREIGN: Trouble = Trouble(254);
    pub const CONNECTED: Trouble = Trouble(255);

    pub fn errno(errno: i32) -> Trouble {
        match u8::try_from(errno) {
            Ok(small @ 1..=252) => Trouble(small),
            _ => Trouble(libc::EIO as u8),
        }
    }

    /// The kernel said no; it may say yes later.
    pub fn is_refusal(self) -> bool {
        (1..=252).contains(&self.0)
    }

    /// As the RIB gets to see it.
    pub fn as_errno(self) -> Option<i32> {
        match self {
            Trouble::NONE => None,
            Trouble::UNREACHABLE => Some(libc::ENETUNREACH),
            Trouble::FOREIGN | Trouble::CONNECTED => Some(libc::EEXIST),
            Trouble(errno) => Some(errno.into()),
        }
    }
}

/// In the pending list.
const QUEUED: u8 = 1;
/// From before the restart; nobody asked for it yet.
const ADOPTED: u8 = 2;
/// Met by the running verification, or written since it began.
const SEEN: u8 = 4;
/// Refused once for a reason that a second try may overcome.
const RETRIED: u8 = 8;
/// Goes because its prefix has moved: there is no answer to give.
const MOVED: u8 = 16;

/// What is known of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub want: Target,
    /// What the kernel holds, as far as we know.
    pub have: Target,
    /// 48 bits of sequence, 8 of trouble, 8 of flags.
    packed: [u32; 2],
}

impl Route {
    pub const EMPTY: Route = Route {
        want: Target::NONE,
        have: Target::NONE,
        packed: [0; 2],
    };

    pub fn seq(&self) -> u64 {
        u64::from(self.packed[0]) | u64::from(self.packed[1] & 0xffff) << 32
    }

    pub fn set_seq(&mut self, seq: u64) {
        self.packed[0] = seq as u32;
        self.packed[1] = self.packed[1] & 0xffff_0000 | (seq >> 32) as u32 & 0xffff;
    }

    pub fn trouble(&self) -> Trouble {
        Trouble((self.packed[1] >> 16) as u8)
    }

    pub fn set_trouble(&mut self, trouble: Trouble) {
        self.packed[1] = self.packed[1] & 0xff00_ffff | u32::from(trouble.0) << 16;
    }

    fn flag(&self, flag: u8) -> bool {
        self.packed[1] & u32::from(flag) << 24 != 0
    }

    fn set_flag(&mut self, flag: u8, on: bool) {
        let bit = u32::from(flag) << 24;
        self.packed[1] = if on {
            self.packed[1] | bit
        } else {
            self.packed[1] & !bit
        };
    }

    pub fn queued(&self) -> bool {
        self.flag(QUEUED)
    }

    pub fn set_queued(&mut self, on: bool) {
        self.set_flag(QUEUED, on);
    }

    pub fn adopted(&self) -> bool {
        self.flag(ADOPTED)
    }

    pub fn set_adopted(&mut self, on: bool) {
        self.set_flag(ADOPTED, on);
    }

    pub fn seen(&self) -> bool {
        self.flag(SEEN)
    }

    pub fn set_seen(&mut self, on: bool) {
        self.set_flag(SEEN, on);
    }

    pub fn retried(&self) -> bool {
        self.flag(RETRIED)
    }

    pub fn set_retried(&mut self, on: bool) {
        self.set_flag(RETRIED, on);
    }

    pub fn moved(&self) -> bool {
        self.flag(MOVED)
    }

    pub fn set_moved(&mut self, on: bool) {
        self.set_flag(MOVED, on);
    }

    pub fn installed(&self) -> bool {
        !self.want.is_none() && self.want == self.have
    }

    /// Nothing to remember: neither wanted nor there.
    pub fn idle(&self) -> bool {
        self.want.is_none() && self.have.is_none() && !self.queued()
    }
}
