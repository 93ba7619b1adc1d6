//! Leases stand clocks that run at different speeds: a leader whose clock is slow believes in its lease for longer
//! than voters with quick clocks keep their promise.

use crate::faults::Kind;
use crate::judge::check;
use crate::world::Plan;

#[test]
fn leases_stand_skewed_clocks() {
    let kinds = [Kind::Partition, Kind::OneWay];
    let plan = Plan { skew_max_ppm: 80_000, ..Plan::of(&kinds) };
    check("clocks::leases_stand_skewed_clocks", 40, &plan);
}
