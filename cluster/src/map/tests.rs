//! The frozen form of the map and its commands, and what the commands may and may not do.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{ClusterMap, MapCommand, NodeState, Placement, Usable, decode, encode};
use crate::layout::NodeId;

fn create() -> MapCommand {
    MapCommand::Create { cluster: "ab".to_owned(), shards: 2, replication_factor: 3, founder: NodeId(1) }
}

fn register(node: u64, started_at_ms: u64) -> MapCommand {
    MapCommand::Register {
        node: NodeId(node),
        address: "a:1".to_owned(),
        peer_address: "a:2".to_owned(),
        zone: None,
        version: "1.0".to_owned(),
        started_at_ms,
    }
}

fn admit(token: &str) -> MapCommand {
    MapCommand::Admit {
        token: token.to_owned(),
        address: "b:1".to_owned(),
        peer_address: "b:2".to_owned(),
        zone: Some("z".to_owned()),
        version: "1.0".to_owned(),
    }
}

fn set_state(node: u64, state: NodeState) -> MapCommand {
    MapCommand::SetState { node: NodeId(node), state }
}

fn leave(node: u64) -> MapCommand {
    MapCommand::Leave { node: NodeId(node) }
}

fn placement(replicas: &[u64]) -> Placement {
    let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
    Placement { preferred_leader: replicas.first().copied(), replicas }
}

fn place(revision: u64, shards: &[&[u64]]) -> MapCommand {
    let placements = shards.iter().map(|replicas| placement(replicas)).collect();
    MapCommand::Place { revision, placements, planned_for: None }
}

fn changed(commands: impl IntoIterator<Item = MapCommand>) -> ClusterMap {
    let mut map = ClusterMap::default();
    commands.into_iter().for_each(|command| map.change(command));
    map
}

/// The founder and two more.
fn three() -> ClusterMap {
    changed([create(), register(1, 5), admit("x"), admit("y")])
}

fn check_frozen(bytes: &[u8], expected: &Expect) {
    assert_eq!(bytes[0], 1);
    expected.assert_eq(std::str::from_utf8(&bytes[1..]).expect("JSON is UTF-8"));
}

fn check_changes_nothing(mut map: ClusterMap, command: MapCommand) {
    let before = map.clone();
    map.change(command.clone());
    assert_eq!(map, before, "{command:?}");
}

#[test]
fn commands_are_frozen() {
    let usable = Usable { node: NodeId(1), zone: None, takes: true, leads: false };
    let placements = vec![placement(&[1, 2])];
    let planned = MapCommand::Place { revision: 7, placements, planned_for: Some(vec![usable]) };
    let cases = [
        (
            create(),
            expect![[r#"{"change":"create","cluster":"ab","shards":2,"replication_factor":3,"founder":1}"#]],
        ),
        (
            admit("x"),
            expect![[
                r#"{"change":"admit","token":"x","address":"b:1","peer_address":"b:2","zone":"z","version":"1.0"}"#
            ]],
        ),
        (
            register(1, 5),
            expect![[
                r#"{"change":"register","node":1,"address":"a:1","peer_address":"a:2","zone":null,"version":"1.0","started_at_ms":5}"#
            ]],
        ),
        (
            set_state(2, NodeState::Draining),
            expect![[r#"{"change":"set_state","node":2,"state":"draining"}"#]],
        ),
        (leave(2), expect![[r#"{"change":"leave","node":2}"#]]),
        (
            place(7, &[&[1, 2], &[2]]),
            expect![[
                r#"{"change":"place","revision":7,"placements":[{"replicas":[1,2],"preferred_leader":1},{"replicas":[2],"preferred_leader":2}],"planned_for":null}"#
            ]],
        ),
        (
            planned,
            expect![[
                r#"{"change":"place","revision":7,"placements":[{"replicas":[1,2],"preferred_leader":1}],"planned_for":[{"node":1,"zone":null,"takes":true,"leads":false}]}"#
            ]],
        ),
    ];
    for (command, expected) in cases {
        check_frozen(&command.encode(), &expected);
        assert_eq!(decode::<MapCommand>(&command.encode()).expect("it decodes"), command);
    }
}

#[test]
fn the_map_is_frozen() {
    let founded = changed([create(), register(1, 5)]);
    check_frozen(
        &encode(&founded),
        &expect![[
            r#"{"cluster":"ab","replication_factor":3,"nodes":{"1":{"address":"a:1","peer_address":"a:2","zone":null,"version":"1.0","started_at_ms":5,"state":"up"}},"placements":[{"replicas":[1],"preferred_leader":1},{"replicas":[1],"preferred_leader":1}],"tokens":{},"revision":2}"#
        ]],
    );
    let mut grown = three();
    grown.change(leave(3));
    grown.change(place(grown.revision, &[&[1, 2], &[2, 1]]));
    check_frozen(
        &encode(&grown),
        &expect![[
            r#"{"cluster":"ab","replication_factor":3,"nodes":{"1":{"address":"a:1","peer_address":"a:2","zone":null,"version":"1.0","started_at_ms":5,"state":"up"},"2":{"address":"b:1","peer_address":"b:2","zone":"z","version":"1.0","started_at_ms":0,"state":"up"},"3":{"address":"b:1","peer_address":"b:2","zone":"z","version":"1.0","started_at_ms":0,"state":"draining","is_leaving":true}},"placements":[{"replicas":[1,2],"preferred_leader":1},{"replicas":[2,1],"preferred_leader":2}],"tokens":{"x":2,"y":3},"revision":6}"#
        ]],
    );
    for map in [founded, grown] {
        assert_eq!(decode::<ClusterMap>(&encode(&map)).expect("it decodes"), map);
    }
}

#[test]
fn a_map_of_before_there_were_several_nodes_is_read() {
    let stored = br#"{"cluster":"ab","replication_factor":3,"nodes":{},"placements":[]}"#;
    let map: ClusterMap = decode(&[&[1], &stored[..]].concat()).expect("it decodes");
    assert_eq!((map.revision, map.tokens), (0, BTreeMap::new()));
}

#[test]
fn a_node_that_starts_again_keeps_the_state_the_operator_gave_it() {
    let mut map = three();
    map.change(leave(2));
    map.change(register(2, 9));
    let node = &map.nodes[&NodeId(2)];
    assert_eq!((node.state, node.is_leaving, node.started_at_ms), (NodeState::Draining, true, 9));
    check_changes_nothing(map, create());
}

#[test]
fn a_token_gets_one_number_and_a_number_one_token() {
    let mut map = three();
    assert_eq!((map.joined("x"), map.joined("y")), (Some(NodeId(2)), Some(NodeId(3))));
    check_changes_nothing(map.clone(), admit("y"));
    map.change(set_state(3, NodeState::Removed));
    map.change(admit("z"));
    assert_eq!((map.joined("y"), map.joined("z")), (Some(NodeId(3)), Some(NodeId(4))));
    // Even one that comes before the founder has said that it started.
    assert_eq!(changed([create(), admit("x")]).joined("x"), Some(NodeId(2)));
    assert_eq!(changed([create(), admit("x"), register(1, 5)]).nodes.len(), 2);
}

#[test]
fn removed_is_for_good() {
    let mut map = three();
    map.change(set_state(3, NodeState::Removed));
    let late = [register(3, 9), leave(3), set_state(3, NodeState::Up), place(map.revision, &[&[1, 3], &[1]])];
    for command in late {
        check_changes_nothing(map.clone(), command);
    }
    assert_eq!(map.addresses().into_keys().collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
}

#[test]
fn a_node_on_its_way_out_stays_when_it_is_wanted_up_again() {
    let mut map = three();
    map.change(leave(3));
    map.change(set_state(3, NodeState::Draining));
    assert!(map.nodes[&NodeId(3)].is_leaving, "it drains already");
    map.change(set_state(3, NodeState::Up));
    let node = &map.nodes[&NodeId(3)];
    assert_eq!((node.state, node.is_leaving), (NodeState::Up, false));
}

#[test]
fn a_plan_holds_only_for_the_map_it_was_made_from() {
    let mut map = three();
    let now = map.revision;
    let plan = place(now, &[&[1, 2, 3], &[2, 3]]);
    check_changes_nothing(map.clone(), place(now + 1, &[&[1, 2], &[2, 3]]));
    check_changes_nothing(map.clone(), place(now - 1, &[&[1, 2], &[2, 3]]));
    // What changes nothing does not stand in its way.
    map.change(admit("x"));
    map.change(plan.clone());
    assert_eq!(map.placements, [placement(&[1, 2, 3]), placement(&[2, 3])]);
    assert_eq!(map.revision, now + 1);
    check_changes_nothing(map, plan);
}

#[test]
fn a_plan_that_can_not_be_is_not_taken() {
    let map = three();
    let now = map.revision;
    let one_too_few: &[&[u64]] = &[&[1]];
    let cases: [&[&[u64]]; 5] =
        [one_too_few, &[&[1], &[1], &[1]], &[&[1], &[4]], &[&[1], &[]], &[&[1, 2, 1], &[1]]];
    for shards in cases {
        check_changes_nothing(map.clone(), place(now, shards));
    }
    let elsewhere = Placement { preferred_leader: Some(NodeId(3)), ..placement(&[1, 2]) };
    let placements = vec![elsewhere, placement(&[1])];
    check_changes_nothing(map, MapCommand::Place { revision: now, placements, planned_for: None });
}

#[test]
fn a_number_that_was_never_given_is_not_registered() {
    check_changes_nothing(three(), register(9, 5));
}

#[test]
fn an_operators_move_keeps_what_was_planned_for() {
    let mut map = three();
    let planned_for = vec![Usable { node: NodeId(1), zone: None, takes: true, leads: true }];
    let placements = map.placements.clone();
    map.change(MapCommand::Place {
        revision: map.revision,
        placements,
        planned_for: Some(planned_for.clone()),
    });
    map.change(place(map.revision, &[&[2], &[1]]));
    assert_eq!((map.planned_for, map.placements), (planned_for, vec![placement(&[2]), placement(&[1])]));
}

fn command() -> impl Strategy<Value = MapCommand> {
    let states = vec![NodeState::Up, NodeState::Draining, NodeState::Removed];
    let shards = prop::collection::vec(prop::collection::vec(0..7_u64, 0..4), 1..4);
    prop_oneof![
        Just(create()),
        "[a-e]".prop_map(|token| admit(&token)),
        (0..7_u64, 0..3_u64).prop_map(|(node, at)| register(node, at)),
        (0..7_u64, prop::sample::select(states)).prop_map(|(node, state)| set_state(node, state)),
        (0..7_u64).prop_map(leave),
        (0..20_u64, shards).prop_map(|(revision, shards)| {
            let shards: Vec<&[u64]> = shards.iter().map(Vec::as_slice).collect();
            place(revision, &shards)
        }),
    ]
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode::<MapCommand>(&bytes);
    }

    #[test]
    fn any_commands_keep_the_rules(commands in prop::collection::vec(command(), 0..60)) {
        let mut map = changed([create(), register(1, 5)]);
        for command in commands {
            let before = map.clone();
            map.change(command);
            prop_assert_eq!(map.revision, before.revision + u64::from(map != before));
            for (token, node) in &before.tokens {
                prop_assert_eq!(map.joined(token), Some(*node));
            }
            for (node, known) in &before.nodes {
                prop_assert!(known.state != NodeState::Removed || map.nodes[node] == *known);
            }
            let mut given: Vec<_> = map.tokens.values().collect();
            given.sort_unstable();
            given.dedup();
            prop_assert_eq!(given.len(), map.tokens.len());
            prop_assert_eq!(map.placements.len(), 2);
            prop_assert!(map.placements.iter().all(|placement| !placement.replicas.is_empty()));
        }
    }
}
