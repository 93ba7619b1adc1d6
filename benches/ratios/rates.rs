//! Rates and latencies: Stead beside a bare handler, beside workerd, beside the disk.

use std::io::{Seek, SeekFrom, Write};
use std::time::Instant;

use crate::Plan;
use crate::contestant::{Contestant, Load, Slice, directory};
use crate::figures::{Better, Figures, median};

const MANY: Load = Load { operation: "increment", clients: 64, objects: 1_000 };
const MANY_256: Load = Load { operation: "increment", clients: 256, objects: 1_000 };
const HOT: Load = Load { operation: "increment", clients: 64, objects: 1 };
const READS: Load = Load { operation: "read", clients: 64, objects: 1_000 };
const ONE: Load = Load { operation: "increment", clients: 1, objects: 1_000 };

/// Writes of which the median is one flush of the disk.
const FLUSHES: u64 = 300;
/// Bytes of a write before a flush.
const BLOCK_BYTES: u64 = 4_096;

/// One round: each load on each contestant, in turn.
struct Round {
    stead: Loads,
    bare: Loads,
    workerd: Option<(Slice, Slice)>,
    one: Slice,
    flush_ms: f64,
}

struct Loads {
    many: Slice,
    many_256: Slice,
    hot: Option<Slice>,
    reads: Slice,
}

pub(crate) fn measure(plan: &Plan, figures: &mut Figures) {
    let stead = Contestant::stead();
    let bare = Contestant::bare();
    let workerd = Contestant::workerd();
    stead.load(MANY, plan.slice_s); // objects are made, caches are warm
    if let Ok(workerd) = &workerd {
        workerd.load(MANY, plan.slice_s);
    }
    let rounds: Vec<Round> = (1..=plan.rounds)
        .map(|number| {
            let round = round(plan, &stead, &bare, workerd.as_ref().ok());
            println!("round {number}: {}", round.shown());
            round
        })
        .collect();
    add_figures(figures, &rounds, workerd.err());
}

fn round(plan: &Plan, stead: &Contestant, bare: &Contestant, workerd: Option<&Contestant>) -> Round {
    let slice_s = plan.slice_s;
    let pair = |load| (stead.load(load, slice_s), bare.load(load, slice_s));
    let (stead_many, bare_many) = pair(MANY);
    let hot = stead.load(HOT, slice_s);
    let workerd = workerd.map(|workerd| (workerd.load(MANY, slice_s), workerd.load(HOT, slice_s)));
    let (stead_256, bare_256) = pair(MANY_256);
    let (stead_reads, bare_reads) = pair(READS);
    let flush_ms = flush_ms();
    let one = stead.load(ONE, slice_s);
    Round {
        stead: Loads { many: stead_many, many_256: stead_256, hot: Some(hot), reads: stead_reads },
        bare: Loads { many: bare_many, many_256: bare_256, hot: None, reads: bare_reads },
        workerd,
        one,
        flush_ms,
    }
}

impl Round {
    fn hot(&self) -> f64 {
        self.stead.hot.map_or(0.0, |slice| slice.per_second)
    }

    fn shown(&self) -> String {
        let workerd = self.workerd.map_or_else(String::new, |(many, hot)| {
            format!(", workerd {:.0} and {:.0}", many.per_second, hot.per_second)
        });
        format!(
            "increments/s {:.0} (p99 {:.1} ms) of bare {:.0}, at 256 {:.0} of {:.0}, one object {:.0}{workerd}; reads/s {:.0} of {:.0}; \
             one client p50 {:.2} ms, p99 {:.2} ms, one flush {:.2} ms",
            self.stead.many.per_second,
            self.stead.many.p99_ms,
            self.bare.many.per_second,
            self.stead.many_256.per_second,
            self.bare.many_256.per_second,
            self.hot(),
            self.stead.reads.per_second,
            self.bare.reads.per_second,
            self.one.p50_ms,
            self.one.p99_ms,
            self.flush_ms,
        )
    }
}

fn add_figures(figures: &mut Figures, rounds: &[Round], no_workerd: Option<String>) {
    let ratio = |of: &dyn Fn(&Round) -> (f64, f64)| {
        Ok(median(rounds.iter().map(of).map(|(ours, theirs)| ours / theirs).collect()))
    };
    let rate = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let many = ratio(&|round| (round.stead.many.per_second, round.bare.many.per_second));
    let remark = format!("{:.0}/s", rate(&|round| round.stead.many.per_second));
    figures.add(
        "durable increments, 1,000 objects, 64 clients / bare axum",
        "",
        Better::More,
        (0.45, 0.32),
        many,
        remark,
    );
    let many = ratio(&|round| (round.stead.many_256.per_second, round.bare.many_256.per_second));
    let remark = format!("{:.0}/s", rate(&|round| round.stead.many_256.per_second));
    figures.add("the same, 256 clients", "", Better::More, (0.65, 0.45), many, remark);
    let hot = ratio(&|round| (round.hot(), round.stead.many.per_second));
    let remark = format!("{:.0}/s", rate(&Round::hot));
    figures.add("increments of one object / of 1,000, 64 clients", "", Better::More, (1.2, 0.8), hot, remark);
    let against = |of: &dyn Fn(&Round) -> Option<(f64, f64)>| match &no_workerd {
        Some(why) => Err(why.clone()),
        None => Ok(median(rounds.iter().filter_map(of).map(|(ours, theirs)| ours / theirs).collect())),
    };
    let many = against(&|round| Some((round.stead.many.per_second, round.workerd?.0.per_second)));
    figures.add(
        "increments of 1,000 objects, 64 clients / workerd",
        " ×",
        Better::More,
        (25.0, 15.0),
        many,
        String::new(),
    );
    let hot = against(&|round| Some((round.hot(), round.workerd?.1.per_second)));
    figures.add(
        "increments of one object, 64 clients / workerd",
        " ×",
        Better::More,
        (25.0, 15.0),
        hot,
        String::new(),
    );
    let reads = ratio(&|round| (round.stead.reads.per_second, round.bare.reads.per_second));
    let remark = format!("{:.0}/s", rate(&|round| round.stead.reads.per_second));
    figures.add("reads, 64 clients / bare axum", "", Better::More, (0.9, 0.75), reads, remark);
    let flush_ms = rate(&|round| round.flush_ms);
    let one_ms = rate(&|round| round.one.p50_ms);
    let bounds = (1.5f64.mul_add(flush_ms, 0.2), 2.0f64.mul_add(flush_ms, 0.3));
    let remark = format!(
        "one fdatasync of this disk: {flush_ms:.3} ms; p99 {:.2} ms",
        rate(&|round| round.one.p99_ms)
    );
    figures.add("durable increment, one client, p50", " ms", Better::Less, bounds, Ok(one_ms), remark);
}

/// The median time of an fdatasync behind a write of one block into a file of a fixed length, in
/// milliseconds, on the disk that data lies on.
fn flush_ms() -> f64 {
    let directory = directory();
    let mut file = std::fs::File::create(directory.path().join("flushes")).expect("a file can be made");
    file.write_all(&vec![0; usize::try_from(FLUSHES * BLOCK_BYTES).expect("it fits")])
        .expect("it can be written");
    file.sync_all().expect("it can be flushed");
    let block = vec![1; usize::try_from(BLOCK_BYTES).expect("it fits")];
    let times = (0..FLUSHES).map(|number| {
        file.seek(SeekFrom::Start(number * BLOCK_BYTES)).expect("it can be sought");
        let begun = Instant::now();
        file.write_all(&block).expect("it can be written");
        file.sync_data().expect("it can be flushed");
        begun.elapsed().as_secs_f64() * 1_000.0
    });
    median(times.collect())
}
