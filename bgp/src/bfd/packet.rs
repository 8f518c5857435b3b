//! The control packet (RFC 5880 §4.1).

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Octets of a control packet without authentication.
pub const PACKET_LEN: usize = 24;

const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The state of a session (§4.1, Sta).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Taken down by the administrator: no statement about the path.
    AdminDown,
    /// Nothing is heard, or it has just been lost.
    Down,
    /// We hear the other end; it does not say yet that it hears us.
    Init,
    /// Both ends hear each other.
    Up,
}

impl State {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }

    fn bits(self) -> u8 {
        match self {
            State::AdminDown => 0,
            State::Down => 1,
            State::Init => 2,
            State::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::AdminDown => "admin down",
            State::Down => "down",
            State::Init => "init",
            State::Up => "up",
        })
    }
}

/// Why a session last left Up (§4.1, Diag). Five bits; those that have no name
/// are kept as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Never left Up.
    pub const NONE: Self = Diagnostic(0);
    /// Nothing arrived for the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Diagnostic(1);
    /// The other end said that its session is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Diagnostic(3);
    /// Taken down by the administrator.
    pub const ADMINISTRATIVELY_DOWN: Self = Diagnostic(7);

    /// The lower five bits of `code`.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        Diagnostic(code & 0x1f)
    }

    /// The number on the wire, 0 to 31.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "none",
            1 => "detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            // RFC 6428.
            9 => "mis-connectivity defect",
            code => return write!(f, "diagnostic {code}"),
        })
    }
}

/// A control packet without authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// Asks for an answer with `is_final` (§6.5).
    pub poll: bool,
    /// Answers a poll.
    pub is_final: bool,
    /// C: the sender's BFD lives on when its control plane does not.
    pub control_plane_independent: bool,
    /// D: the sender wants no periodic packets while both ends are up (§6.6).
    pub demand: bool,
    /// So many lost packets in a row mean a lost path. Never 0.
    pub detect_mult: u8,
    /// The sender's name for the session.
    pub my_discriminator: NonZeroU32,
    /// The receiver's name for it, 0 where the sender does not know it yet.
    pub your_discriminator: u32,
    /// The shortest interval at which the sender would send. Whole
    /// microseconds, up to [`Packet::MAX_INTERVAL`].
    pub desired_min_tx: Duration,
    /// The shortest interval at which it can receive; zero: it wants none.
    pub required_min_rx: Duration,
    /// The same for echo packets; zero: it accepts none.
    pub required_min_echo_rx: Duration,
}

/// Why a datagram is no control packet for us: §6.8.6, in the order given there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Shorter than 24 octets, or than it says.
    Short,
    /// A version that is not 1.
    Version(u8),
    /// A length field below the smallest.
    Length(u8),
    /// A detection multiplier of 0.
    DetectMult,
    /// The multipoint bit (RFC 8562 has other sessions for it).
    Multipoint,
    /// My Discriminator is 0.
    MyDiscriminator,
    /// Your Discriminator is 0 in a state that only a session that knows it has.
    YourDiscriminator,
    /// Authenticated: none is configured here.
    Authenticated,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Short => f.write_str("shorter than its length field or than 24 octets"),
            Malformed::Version(version) => write!(f, "version {version}, not 1"),
            Malformed::Length(length) => write!(f, "length field {length}"),
            Malformed::DetectMult => f.write_str("detection multiplier 0"),
            Malformed::Multipoint => f.write_str("multipoint bit set"),
            Malformed::MyDiscriminator => f.write_str("My Discriminator 0"),
            Malformed::YourDiscriminator => f.write_str("Your Discriminator 0 in state init or up"),
            Malformed::Authenticated => f.write_str("authenticated, and no key is configured"),
        }
    }
}

impl std::error::Error for Malformed {}

impl Packet {
    /// The longest interval that the wire can say: 2^32 - 1 microseconds.
    pub const MAX_INTERVAL: Duration = Duration::from_micros(u32::MAX as u64);

    /// Reads the payload of a datagram. Octets after the length field's are
    /// ignored.
    ///
    /// # Errors
    /// What §6.8.6 wants dropped without a look at any session.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let Some((head, rest)) = payload.split_first_chunk::<4>() else {
            return Err(Malformed::Short);
        };
        let [first, flags, detect_mult, length] = *head;
        let version = first >> 5;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        // 26 with authentication: type, length and a password of at least nothing.
        let smallest = if flags & AUTHENTICATION == 0 { 24 } else { 26 };
        if length < smallest {
            return Err(Malformed::Length(length));
        }
        if usize::from(length) > payload.len() {
            return Err(Malformed::Short);
        }
        if detect_mult == 0 {
            return Err(Malformed::DetectMult);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Malformed::Multipoint);
        }
        let mut words = rest.chunks_exact(4).map(|chunk| {
            chunk
                .iter()
                .fold(0u32, |word, &octet| word << 8 | u32::from(octet))
        });
        let mut word = || words.next().ok_or(Malformed::Short);
        let my_discriminator = NonZeroU32::new(word()?).ok_or(Malformed::MyDiscriminator)?;
        let your_discriminator = word()?;
        let state = State::from_bits(flags >> 6);
        if your_discriminator == 0 && matches!(state, State::Init | State::Up) {
            return Err(Malformed::YourDiscriminator);
        }
        if flags & AUTHENTICATION != 0 {
            return Err(Malformed::Authenticated);
        }
        let mut interval = || word().map(|micros| Duration::from_micros(micros.into()));
        Ok(Packet {
            diagnostic: Diagnostic::from_code(first),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_mult,
            my_discriminator,
            your_discriminator,
            desired_min_tx: interval()?,
            required_min_rx: interval()?,
            required_min_echo_rx: interval()?,
        })
    }

    /// The packet on the wire. Intervals longer than [`Packet::MAX_INTERVAL`]
    /// are sent as that.
    #[must_use]
    pub fn encode(&self) -> [u8; PACKET_LEN] {
        let flag = |on, bit| if on { bit } else { 0 };
        let flags = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        let micros = |interval: Duration| u32::try_from(interval.as_micros()).unwrap_or(u32::MAX);
        let words = [
            u32::from_be_bytes([
                VERSION << 5 | self.diagnostic.code(),
                flags,
                self.detect_mult,
                PACKET_LEN as u8,
            ]),
            self.my_discriminator.get(),
            self.your_discriminator,
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let mut bytes = [0; PACKET_LEN];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}
