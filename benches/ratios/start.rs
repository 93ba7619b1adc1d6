//! From the start of the process to the first write served, with many objects stored and after a
//! kill -9, so that the log is recovered too.

use std::time::Instant;

use tokio::net::TcpStream;

use crate::client::{exchange, increment, touch_each};
use crate::contestant::Contestant;
use crate::figures::{Better, Figures, median};

const OBJECTS: usize = 100_000;
const STARTS: usize = 3;

pub(crate) fn measure(figures: &mut Figures) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let maker = Contestant::stead();
    runtime.block_on(touch_each(maker.address, OBJECTS, increment));
    let mut data = maker.kill();
    let mut starts_s = Vec::new();
    for number in 0..STARTS {
        let begun = Instant::now();
        let stead = Contestant::stead_on(data);
        runtime.block_on(async {
            let mut stream = TcpStream::connect(stead.address).await.expect("it listens");
            exchange(&mut stream, &increment(number)).await.expect("the first write is served");
        });
        starts_s.push(begun.elapsed().as_secs_f64());
        data = stead.kill();
    }
    let remark = format!("{OBJECTS} objects, after kill -9");
    figures.add("start to first write served", " s", Better::Less, (1.0, 1.0), Ok(median(starts_s)), remark);
}
