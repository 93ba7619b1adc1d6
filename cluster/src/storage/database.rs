//! The one `RocksDB` of a node: how it is opened, and reads from it.
//!
//! Recycled write-ahead logs make a flush cheaper, and only point-in-time recovery recycles. It drops whatever
//! follows a damaged record without a word; [`super::witness`] is what notices.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    DBRecoveryMode, LogLevel, ReadOptions,
};
use tokio::sync::oneshot;

use crate::storage::ReadError;
use crate::storage::keys::Column;

/// Its directory in the data directory.
pub(crate) const DIRECTORY: &str = "rocksdb";
/// Write-ahead logs kept before `RocksDB` writes memtables out to be rid of the oldest, in bytes. Small, since
/// recovery reads all of it. Nothing else is to end one, so that all are of one length: a file that is used again
/// grows no more, and a flush of what it holds is one write. Growing it, each flush writes its inode too.
const WAL_TOTAL_BYTES: u64 = 8 * 1024 * 1024;
/// Memory of a column before it is written out as a table, in bytes: more than the write-ahead logs can fill.
const MEMTABLE_BYTES: usize = 64 * 1024 * 1024;
/// Write-ahead log files used again instead of made anew, which spares the file system's own metadata.
const WAL_FILES_RECYCLED: usize = 4;
/// Memory for blocks of a database that is only looked into, in bytes.
const LOOK_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// What the filter of the memory of the state takes, of [`MEMTABLE_BYTES`]: sized for what really gets in there.
const MEMTABLE_BLOOM_RATIO: f64 = 0.0125;
/// Table files held open.
const OPEN_FILES_MAX: i32 = 512;
/// `RocksDB`'s own diagnostic files kept.
const INFO_LOGS_KEPT: usize = 2;
/// Bits of a bloom filter for each key: one false positive in a hundred.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// The database of a node, until it is closed. Only [`super::writer`] writes to it.
///
/// Everyone who reads takes a share of it for the time of the read, a scan or a snapshot for its life. Closing
/// takes it away from here and waits for the last share, for only then the lock on the directory is free.
pub(crate) struct Database {
    rocks: RwLock<Option<Arc<Rocks>>>,
    closed: Mutex<Option<oneshot::Receiver<()>>>,
}

/// `RocksDB`, opened.
pub(crate) struct Rocks {
    // Dropped in this order: whoever waits for the close hears of it when it is done.
    db: DB,
    _closed: oneshot::Sender<()>,
}

impl Database {
    pub(crate) fn open(directory: &Path, block_cache_bytes: usize) -> Result<Arc<Self>, rocksdb::Error> {
        let cache = Cache::new_lru_cache(block_cache_bytes);
        let columns = Column::ALL
            .map(|column| ColumnFamilyDescriptor::new(column.name(), column_options(column, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), directory, columns)?;
        let (closes, closed) = oneshot::channel();
        let rocks = RwLock::new(Some(Arc::new(Rocks { db, _closed: closes })));
        Ok(Arc::new(Self { rocks, closed: Mutex::new(Some(closed)) }))
    }

    /// Opens it to look, beside whoever has it open or nobody: no lock is taken, nothing is written.
    pub(crate) fn open_read_only(directory: &Path) -> Result<Arc<Self>, rocksdb::Error> {
        let cache = Cache::new_lru_cache(LOOK_CACHE_BYTES);
        let columns = Column::ALL
            .map(|column| ColumnFamilyDescriptor::new(column.name(), column_options(column, &cache)));
        let db = DB::open_cf_descriptors_read_only(&database_options(), directory, columns, false)?;
        let (closes, closed) = oneshot::channel();
        let rocks = RwLock::new(Some(Arc::new(Rocks { db, _closed: closes })));
        Ok(Arc::new(Self { rocks, closed: Mutex::new(Some(closed)) }))
    }

    /// A share of the database.
    pub(crate) fn rocks(&self) -> Result<Arc<Rocks>, ReadError> {
        self.rocks.read().clone().ok_or_else(|| ReadError("the node is shut down".to_owned()))
    }

    /// Closes it: resolves when the last reader is gone, at once the second time.
    pub(crate) async fn close(&self) {
        drop(self.rocks.write().take());
        let closed = self.closed.lock().take();
        if let Some(closed) = closed {
            // The sender is dropped, never used.
            let _ = closed.await;
        }
    }

    pub(crate) fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let rocks = self.rocks()?;
        Ok(rocks.db.get_cf(rocks.column(column), key)?)
    }
}

/// A row: its key and its value.
pub(crate) type RowBytes = (Vec<u8>, Vec<u8>);

impl Rocks {
    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    pub(crate) fn column(&self, column: Column) -> &ColumnFamily {
        self.db.cf_handle(column.name()).expect("every column is opened with the database")
    }

    /// The rows at or behind `from` and before `to`, on none of them yet.
    pub(crate) fn rows(&self, column: Column, from: &[u8], to: &[u8]) -> DBRawIterator<'_> {
        self.db.raw_iterator_cf_opt(self.column(column), between(from, to))
    }

    /// The first row at or behind `from` and before `to`.
    pub(crate) fn first(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<RowBytes>, ReadError> {
        let mut rows = self.rows(column, from, to);
        rows.seek_to_first();
        rows.status()?;
        Ok(rows.item().map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    /// The last row at or behind `from` and before `to`.
    pub(crate) fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<RowBytes>, ReadError> {
        let mut rows = self.rows(column, from, to);
        rows.seek_to_last();
        rows.status()?;
        Ok(rows.item().map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}

/// Reads that see nothing outside of `from..to`.
pub(crate) fn between(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(to);
    options
}

fn database_options() -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_recycle_log_file_num(WAL_FILES_RECYCLED);
    options.set_max_total_wal_size(WAL_TOTAL_BYTES);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(INFO_LOGS_KEPT);
    options.set_log_level(LogLevel::Warn);
    // An idle node is to sleep: no statistics by timer.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn column_options(column: Column, cache: &Cache) -> rocksdb::Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    let mut options = rocksdb::Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    match column {
        Column::State => {
            // Most reads ask for one key, and many of those for one that is not there.
            table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
            table.set_whole_key_filtering(true);
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_RATIO);
        }
        Column::Log | Column::Votes | Column::Alarms | Column::Map => {}
    }
    options.set_block_based_table_factory(&table);
    options
}
