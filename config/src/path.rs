//! What a peer or group says of AS numbers, roles and kinds of communities.

use godwit_bgp::attrs::{CommunityKinds, RemovePrivate};
use godwit_bgp::{Asn, Role};
use toml::de::DeValue;

use crate::error::Problem;
use crate::model::RemoteAs;
use crate::reader::Table;
use crate::schema;
use crate::values::{self, Wrong};

/// The keys, as far as given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSettings {
    pub local_as: Option<LocalAs>,
    pub allow_as_in: Option<u8>,
    pub as_override: Option<bool>,
    pub remove_private_as: Option<RemovePrivate>,
    pub enforce_first_as: Option<bool>,
    pub accept_as_set: Option<bool>,
    pub max_as_path_length: Option<u16>,
    pub role: Option<Role>,
    pub role_strict: Option<bool>,
    pub send_communities: Option<CommunityKinds>,
}

/// The number by which one neighbour knows us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalAs {
    pub asn: Asn,
    /// Not put before the paths that come in.
    pub no_prepend: bool,
    /// The router's own number is not in what goes out.
    pub replace_as: bool,
    /// The neighbour may know us by the router's own number instead.
    pub dual_as: bool,
}

/// The same with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// Never the router's own number.
    pub local_as: Option<LocalAs>,
    /// How often our own number may stand in a path from the peer.
    pub allow_as_in: u8,
    pub as_override: bool,
    pub remove_private_as: RemovePrivate,
    pub enforce_first_as: bool,
    /// Otherwise treated as withdrawn (RFC 9774).
    pub accept_as_set: bool,
    /// 1 to [`MAX_LENGTH`].
    pub max_as_path_length: u16,
    /// On external sessions only.
    pub role: Option<Role>,
    pub role_strict: bool,
    pub send_communities: CommunityKinds,
}

/// The codec takes no path of more numbers.
pub const MAX_LENGTH: u16 = 2000;
/// Far above any real path.
const LENGTH: u16 = 750;
/// What `allow-as-in = true` stands for, as elsewhere.
const ALLOWED: u8 = 3;
const MOST_ALLOWED: u8 = 10;

/// Reads the keys; `note` is told of each that is there, right or wrong.
pub(crate) fn read(table: &Table<'_>, mut note: impl FnMut(&'static str)) -> PathSettings {
    macro_rules! take {
        ($key:literal, $read:expr) => {{
            if table.has($key) {
                note($key);
            }
            table.plain($key, $read)
        }};
    }
    let as_set = values::word(&[("withdraw", false), ("accept", true)]);
    if table.has("local-as") {
        note("local-as");
    }
    PathSettings {
        local_as: local_as(table),
        allow_as_in: take!("allow-as-in", allow_as_in),
        as_override: take!("as-override", values::boolean),
        remove_private_as: take!("remove-private-as", remove_private),
        enforce_first_as: take!("enforce-first-as", values::boolean),
        accept_as_set: take!("as-set", as_set),
        max_as_path_length: take!("max-as-path-length", values::number(1..=MAX_LENGTH)),
        role: take!("role", role),
        role_strict: take!("role-strict", values::boolean),
        send_communities: send_communities(table),
    }
}

/// A number, or a table of it and how it is used.
fn local_as(table: &Table<'_>) -> Option<LocalAs> {
    let value = table.raw("local-as")?;
    let plain = |asn| LocalAs {
        asn,
        no_prepend: false,
        replace_as: false,
        dual_as: false,
    };
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return table.plain("local-as", values::asn).map(plain);
    }
    let inner = table.as_table(value, &schema::LOCAL_AS)?;
    let help = "write `local-as = { asn = NUMBER, … }`, or the number alone";
    let asn = inner.required("asn", help, values::asn);
    let flag = |key| inner.plain(key, values::boolean).unwrap_or(false);
    let (no_prepend, replace_as) = (flag("no-prepend"), flag("replace-as"));
    let dual_as = flag("dual-as");
    Some(LocalAs {
        asn: asn?.into_inner(),
        no_prepend,
        replace_as,
        dual_as,
    })
}

fn allow_as_in(value: &DeValue<'_>) -> Result<u8, Wrong> {
    match value.as_bool() {
        Some(true) => Ok(ALLOWED),
        Some(false) => Ok(0),
        None => values::number(0..=MOST_ALLOWED)(value),
    }
}

fn remove_private(value: &DeValue<'_>) -> Result<RemovePrivate, Wrong> {
    match value.as_bool() {
        Some(true) => Ok(RemovePrivate::IfAlone),
        Some(false) => Ok(RemovePrivate::No),
        None => values::word(&[
            ("all", RemovePrivate::All),
            ("replace", RemovePrivate::ReplaceIfAlone),
            ("all-replace", RemovePrivate::ReplaceAll),
        ])(value),
    }
}

fn role(value: &DeValue<'_>) -> Result<Role, Wrong> {
    values::word_of(Role::ALL.map(|role| (role.name(), role)))(value)
}

fn send_communities(table: &Table<'_>) -> Option<CommunityKinds> {
    let words = CommunityKinds::NAMES.map(|name| (name, name));
    let listed = table.list("send-communities", values::word_of(words))?;
    let names = listed.iter().map(|item| *item.get_ref());
    // Each was found in the list of all.
    CommunityKinds::of_names(names).ok()
}

impl PathSettings {
    /// These, then those of `group` for what is not given.
    fn over(&self, group: Option<&PathSettings>) -> PathSettings {
        let none = PathSettings::default();
        let group = group.unwrap_or(&none);
        PathSettings {
            local_as: self.local_as.or(group.local_as),
            allow_as_in: self.allow_as_in.or(group.allow_as_in),
            as_override: self.as_override.or(group.as_override),
            remove_private_as: self.remove_private_as.or(group.remove_private_as),
            enforce_first_as: self.enforce_first_as.or(group.enforce_first_as),
            accept_as_set: self.accept_as_set.or(group.accept_as_set),
            max_as_path_length: self.max_as_path_length.or(group.max_as_path_length),
            role: self.role.or(group.role),
            role_strict: self.role_strict.or(group.role_strict),
            send_communities: self.send_communities.or(group.send_communities),
        }
    }

    /// The number that this session's OPEN shows, where it is not the router's.
    pub(crate) fn local_as(&self, group: Option<&PathSettings>) -> Option<LocalAs> {
        self.over(group).local_as
    }
}

/// Who the session is with, as far as its keys must suit that.
pub(crate) struct Session {
    /// The router's own number.
    pub asn: Option<Asn>,
    pub remote_as: Option<RemoteAs>,
    pub external: bool,
}

/// With defaults; each problem and its key go to `wrong`.
pub(crate) fn resolve(
    own: &PathSettings,
    group: Option<&PathSettings>,
    session: &Session,
    mut wrong: impl FnMut(&'static str, Problem),
) -> PathConfig {
    let given = own.over(group);
    if let Some(local) = given.local_as {
        if session.asn == Some(local.asn) {
            let title = format!("{} is our AS number anyway", local.asn);
            let help = "leave `local-as` out, or write the number that this neighbour knows us by";
            wrong(
                "local-as",
                Problem::new(title, help).label("as in `[router]`"),
            );
        } else if session.remote_as == session.asn.map(RemoteAs::Asn) {
            let title = "with a `local-as`, a neighbour of our own AS would be an external one";
            let help = "every path would come back as a loop: take `local-as` out, or set \
                        `remote-as` to that number for an internal session of that AS";
            wrong(
                "local-as",
                Problem::new(title, help).label("not our number"),
            );
        } else if local.dual_as && !session.external {
            let title = "an internal session has one AS number";
            let help = "take `dual-as` out: with the other number the session would be external";
            wrong(
                "local-as",
                Problem::new(title, help).label("external peers only"),
            );
        }
    }
    if given.role.is_some() && !session.external {
        let title = "an internal peer has no role";
        let help = "roles are for external sessions (RFC 9234): take the key out";
        wrong(
            "role",
            Problem::new(title, help).label("external peers only"),
        );
    }
    if given.role_strict == Some(true) && given.role.is_none() {
        let title = "`role-strict` needs a `role`";
        let help =
            "add `role`, what we are to the neighbour: `\"customer\"` where it is our provider";
        wrong(
            "role-strict",
            Problem::new(title, help).label("of which role?"),
        );
    }
    if given
        .max_as_path_length
        .is_some_and(|n| !(1..=MAX_LENGTH).contains(&n))
    {
        let title = "not a length that a path may have";
        let help = format!("set a number from 1 to {MAX_LENGTH}");
        wrong("max-as-path-length", Problem::new(title, help));
    }
    if given.allow_as_in.is_some_and(|n| n > MOST_ALLOWED) {
        let title = "our own number so often is a loop";
        let help = format!("set a number from 0 to {MOST_ALLOWED}");
        wrong("allow-as-in", Problem::new(title, help));
    }
    // A route server leaves its own number out of the path (RFC 7947 §2.2.2.1).
    let through_server = given.role == Some(Role::RouteServerClient);
    PathConfig {
        local_as: given.local_as,
        allow_as_in: given.allow_as_in.unwrap_or(0),
        as_override: given.as_override.unwrap_or(false),
        remove_private_as: given.remove_private_as.unwrap_or_default(),
        enforce_first_as: given.enforce_first_as.unwrap_or(!through_server),
        accept_as_set: given.accept_as_set.unwrap_or(false),
        max_as_path_length: given.max_as_path_length.unwrap_or(LENGTH),
        role: given.role,
        role_strict: given.role_strict.unwrap_or(false),
        send_communities: given.send_communities.unwrap_or_default(),
    }
}
