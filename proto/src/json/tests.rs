use prost_types::{Duration, Timestamp};
use serde_json::json;

use crate::v1::*;

#[test]
fn enumerations_are_their_proto_names() {
    let session = Session {
        families: vec![Family::Ipv4Unicast as i32, 99],
        ..Session::default()
    };
    let value = serde_json::to_value(session).unwrap();
    assert_eq!(value["families"], json!(["FAMILY_IPV4_UNICAST", 99]));
    let segment = AsPathSegment {
        kind: as_path_segment::Kind::Sequence as i32,
        asns: vec![64512],
    };
    assert_eq!(
        serde_json::to_value(segment).unwrap(),
        json!({"kind": "KIND_SEQUENCE", "asns": [64512]})
    );
}

#[test]
fn times_spans_and_bytes_are_text() {
    let path = Path {
        since: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..Path::default()
    };
    assert_eq!(
        serde_json::to_value(path).unwrap()["since"],
        json!("2023-11-14T22:13:20Z")
    );
    let timers = Timers {
        hold_time: Some(Duration {
            seconds: 9,
            nanos: 0,
        }),
        ..Timers::default()
    };
    assert_eq!(
        serde_json::to_value(timers).unwrap(),
        json!({"hold_time": "9s", "keepalive": null, "connect_retry": null, "refresh_timeout": null, "stale_time": null})
    );
    let page = ListRoutesResponse {
        batches: vec![],
        next_cursor: vec![0, 255],
    };
    assert_eq!(
        serde_json::to_value(page).unwrap(),
        json!({"batches": [], "next_cursor": "00ff"})
    );
}

#[test]
fn a_watch_event_is_the_one_field_that_is_set() {
    let event = WatchPeersResponse {
        event: Some(watch_peers_response::Event::Removed("10.0.0.1".into())),
    };
    assert_eq!(
        serde_json::to_value(event).unwrap(),
        json!({"removed": "10.0.0.1"})
    );
    let event = WatchPeersResponse {
        event: Some(watch_peers_response::Event::SnapshotEnd(SnapshotEnd {})),
    };
    assert_eq!(
        serde_json::to_value(event).unwrap(),
        json!({"snapshot_end": {}})
    );
}

/// Scripts rest on these names: changing one is a break of the API.
#[test]
fn field_names_of_a_peer_stay() {
    let value = serde_json::to_value(Peer::default()).unwrap();
    let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "address",
            "bfd",
            "blackhole_community",
            "counters",
            "description",
            "disabled",
            "families",
            "graceful_restart",
            "graceful_shutdown",
            "group",
            "interface",
            "kind",
            "last_error",
            "local_asn",
            "neighbour",
            "neighbour_since",
            "note",
            "passive",
            "path",
            "remote_asn",
            "session",
            "source",
            "stale",
            "state",
            "state_since",
            "timers",
            "transport",
            "waiting_for",
            "waiting_until",
            "weight",
        ]
    );
}

#[test]
fn optional_numbers_that_are_absent_are_null() {
    let value = serde_json::to_value(Attributes::default()).unwrap();
    assert_eq!(value["med"], json!(null));
    assert_eq!(value["origin"], json!("ORIGIN_UNSPECIFIED"));
}
