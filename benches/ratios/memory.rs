//! What an idle activated object and an idle WebSocket weigh: the memory of the process after, less
//! before, by their number.

use crate::client::{increment, open_socket, read, touch_each};
use crate::contestant::Contestant;
use crate::figures::{Better, Figures};

const OBJECTS: usize = 20_000;
const SOCKETS: usize = 10_000;
/// Objects that the sockets are spread over.
const WATCHED: usize = 1_000;
const KIB: f64 = 1_024.0;

pub(crate) fn measure(figures: &mut Figures) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let measured = runtime.block_on(async {
        let maker = Contestant::stead();
        touch_each(maker.address, OBJECTS, increment).await;
        let stead = Contestant::stead_on(maker.kill());
        // What reading costs once is no part of an object: warm up on one.
        touch_each(stead.address, 2_000, |_| read(0)).await;
        let before = stead.memory_bytes();
        touch_each(stead.address, OBJECTS, read).await;
        let active = stead.memory_bytes();
        let mut sockets = Vec::with_capacity(SOCKETS);
        for number in 0..SOCKETS {
            let path = format!("/v1/objects/counter/bench-{}/live", number % WATCHED);
            sockets.push(open_socket(stead.address, &path).await.expect("a socket can be opened"));
        }
        let open = stead.memory_bytes();
        let each =
            |after: u64, before: u64, count: usize| after.saturating_sub(before) as f64 / count as f64 / KIB;
        (each(active, before, OBJECTS), each(open, active, SOCKETS))
    });
    let remark = format!("{OBJECTS} counters");
    figures.add(
        "memory of an idle activated object",
        " KiB",
        Better::Less,
        (8.0, 12.0),
        Ok(measured.0),
        remark,
    );
    let remark = format!("{SOCKETS} sockets on {WATCHED} objects");
    figures.add("memory of an idle WebSocket", " KiB", Better::Less, (8.0, 16.0), Ok(measured.1), remark);
}
