//! Rates of three nodes, beside those of three nodes of etcd and of one node of Stead. All share this machine.

use crate::Plan;
use crate::contestant::{Contestant, Load, load_on};
use crate::etcd::Etcd;
use crate::figures::{Better, Figures, median};
use crate::trio::Trio;

const MANY: Load = Load { operation: "increment", clients: 64, objects: 1_000 };
const MANY_256: Load = Load { operation: "increment", clients: 256, objects: 1_000 };
const HOT: Load = Load { operation: "increment", clients: 64, objects: 1 };

/// What is compared with etcd: the name, the load, aim and floor.
const COMPARED: [(&str, Load, (f64, f64)); 3] = [
    ("three nodes: increments of 1,000 objects, 64 clients / puts of three etcd", MANY, (2.0, 1.3)),
    ("the same, 256 clients", MANY_256, (3.5, 2.2)),
    ("three nodes: increments of one object, 64 clients / puts of three etcd", HOT, (3.5, 2.5)),
];

pub(crate) fn measure(plan: &Plan, figures: &mut Figures) {
    let trio = Trio::start();
    let etcd = Etcd::start();
    let one = Contestant::stead();
    let three = |load| load_on(&trio.addresses(), load, plan.slice_s).per_second;
    three(MANY); // objects are made, caches are warm
    one.load(MANY, plan.slice_s);
    let mut ratios: Vec<Vec<(f64, f64)>> = vec![Vec::new(); COMPARED.len()];
    let mut against_one = Vec::new();
    for round in 1..=plan.rounds {
        let mut shown = Vec::new();
        for ((_, load, _), ratios) in COMPARED.iter().zip(&mut ratios) {
            let ours = three(*load);
            let theirs = etcd.as_ref().map_or(0.0, |etcd| etcd.load(*load, plan.slice_s));
            ratios.push((ours, theirs));
            shown.push(format!("{ours:.0}/s of etcd's {theirs:.0}/s"));
        }
        let (ours, alone) = (three(MANY), one.load(MANY, plan.slice_s).per_second);
        against_one.push(ours / alone);
        println!("round {round}: three nodes {}; {ours:.0}/s of one node's {alone:.0}/s", shown.join(", "));
    }
    for ((name, _, bounds), ratios) in COMPARED.iter().zip(ratios) {
        let ratio = match &etcd {
            Ok(_) => Ok(median(ratios.iter().map(|(ours, theirs)| ours / theirs).collect())),
            Err(why) => Err(why.clone()),
        };
        let remark = format!("{:.0}/s", median(ratios.iter().map(|(ours, _)| *ours).collect()));
        figures.add(name, " ×", Better::More, *bounds, ratio, remark);
    }
    let ratio = Ok(median(against_one));
    figures.add(
        "three nodes / one node, 1,000 objects, 64 clients",
        "",
        Better::More,
        (0.35, 0.27),
        ratio,
        String::new(),
    );
}
