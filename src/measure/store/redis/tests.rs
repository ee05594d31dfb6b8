use super::*;
use crate::{
    base::{progress::Silent, stop::Stop},
    measure::store::{
        contents::{Contents, Rows},
        examples::*,
        memory::MemoryStore,
    },
};
use server::RedisServer;

#[path = "../../../../tests/support/redis_server.rs"]
mod server;

const KEYS: [(u64, u64); 5] = [(1, 10), (2, 11), (2, 10), (1, 10), (1, 12)];
const SOON: Duration = Duration::from_millis(200);

fn filled(keys: &[(u64, u64)]) -> RedisServer {
    let server = RedisServer::start(&[]);
    fill_with(&server, keys);
    server
}

fn fill_with(server: &RedisServer, keys: &[(u64, u64)]) {
    fill_until(server, keys, &Stop::never()).unwrap();
}

fn fill_until(server: &RedisServer, keys: &[(u64, u64)], stop: &Stop) -> Result<()> {
    let data = data(keys);
    fill(&address(&server.url()), &Contents::of(&schema(), "e".into(), &data).unwrap(), &Silent, stop)
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap().0
}

fn opened(url: &str) -> Result<RedisStore> {
    RedisStore::open(&address(url), SOON)
}

fn linked(server: &RedisServer) -> Link {
    Server::find(&address(&server.url())).unwrap().connect(SOON).unwrap()
}

fn size(server: &RedisServer) -> usize {
    let mut link = linked(server);
    redis::cmd("DBSIZE").query(&mut link).unwrap()
}

/// Rows of neighbouring candidates, of which the first has this place.
type Block = (usize, usize, Vec<Option<Vec<u8>>>);

/// Rows as they come, by group.
#[derive(Debug, Default, PartialEq)]
struct Taken(Vec<Block>);

impl RowSink for Taken {
    fn take(&mut self, group: usize, first: usize, rows: &[Option<&[u8]>]) {
        let rows = rows.iter().map(|row| row.map(<[u8]>::to_vec));
        match self.0.last_mut() {
            // Stores cut their blocks differently.
            Some((known, _, taken)) if *known == group => taken.extend(rows),
            _ => self.0.push((group, first, rows.collect())),
        }
    }
}

fn fetched(reader: &mut dyn Reader, user: u64, items: &[u64]) -> Result<Taken> {
    let mut taken = Taken::default();
    reader.fetch(Keys { user, items }, &mut taken)?;
    Ok(taken)
}

#[test]
fn it_gives_what_a_store_in_memory_gives() {
    let server = filled(&KEYS);
    let store = opened(&server.url()).unwrap();
    let data = data(&KEYS);
    let memory = MemoryStore::of(&Contents::of(&schema(), "e".into(), &data).unwrap()).unwrap();
    let placed = Manifest { place: server.url(), ..memory.manifest().clone() };
    assert_eq!(*store.manifest(), placed);
    for groups in [&[0, 1, 2, 3, 4][..], &[4, 2], &[3], &[1]] {
        let (mut mine, mut theirs) = (store.reader(groups).unwrap(), memory.reader(groups).unwrap());
        for (user, items) in [(1, &[10, 11, 12, 99][..]), (2, &[10]), (9, &[10, 10]), (1, &[])] {
            let [mut mine, mut theirs] =
                [&mut mine, &mut theirs].map(|r| fetched(&mut **r, user, items).unwrap());
            // No candidates are no rows, whether they are handed on or not.
            [&mut mine, &mut theirs]
                .into_iter()
                .for_each(|taken| taken.0.retain(|(.., rows)| !rows.is_empty()));
            assert_eq!(mine, theirs, "groups {groups:?} of user {user} with {items:?}");
        }
    }
}

#[test]
fn filling_again_replaces_all_rows_and_leaves_none_behind() {
    let server = filled(&KEYS);
    let before = size(&server);
    fill_with(&server, &KEYS);
    assert_eq!(size(&server), before);
    fill_with(&server, &[(5, 50)]);
    let store = opened(&server.url()).unwrap();
    let mut reader = store.reader(&[3]).unwrap();
    let Taken(rows) = fetched(&mut *reader, 5, &[50, 10]).unwrap();
    assert!(rows[0].2[0].is_some() && rows[0].2[1].is_none(), "{rows:?}");
    assert_eq!(store.manifest().items, 1);
}

#[test]
fn a_server_that_stops_answering_fails_requests_in_time_and_serves_again_when_it_goes_on() {
    let server = filled(&KEYS);
    let store = opened(&server.url()).unwrap();
    let mut reader = store.reader(&[2, 4]).unwrap();
    let expected = fetched(&mut *reader, 1, &[10, 12]).unwrap();
    server.signal("STOP");
    for _ in 0..2 {
        let error = fetched(&mut *reader, 1, &[11]).unwrap_err().to_string();
        assert!(error.contains("within 200 ms") && error.contains("?timeout_ms=1000"), "{error}");
    }
    server.signal("CONT");
    // The late answer about item 11 is nobody's.
    assert_eq!(fetched(&mut *reader, 1, &[10, 12]).unwrap(), expected);
}

#[test]
fn a_server_that_dies_fails_requests_and_another_one_in_its_place_serves_them() {
    let server = filled(&KEYS);
    let store = opened(&server.url()).unwrap();
    let mut reader = store.reader(&[2]).unwrap();
    let expected = fetched(&mut *reader, 1, &[10]).unwrap();
    let port = server.port();
    drop(server);
    for _ in 0..2 {
        let error = fetched(&mut *reader, 1, &[10]).unwrap_err().to_string();
        assert!(error.contains("see whether the server runs"), "{error}");
    }
    let server = RedisServer::on(port, &[]).expect("its port is free again");
    for _ in 0..2 {
        // It has lost everything, and that is not the same as rows that were never there.
        let error = fetched(&mut *reader, 1, &[10]).unwrap_err().to_string();
        assert!(error.contains("emptied or filled again") && error.contains("store load"), "{error}");
        fill_with(&server, &KEYS);
    }
    let store = opened(&server.url()).unwrap();
    assert_eq!(fetched(&mut *store.reader(&[2]).unwrap(), 1, &[10]).unwrap(), expected);
}

#[test]
fn a_server_that_is_filled_again_or_emptied_fails_the_requests_of_whoever_reads_the_old_rows() {
    let server = filled(&KEYS);
    let change: [&dyn Fn(&RedisStore); 2] = [&|_| fill_with(&server, &KEYS), &|store| {
        redis::cmd("FLUSHALL").exec(&mut store.server.connect(SOON).unwrap()).unwrap();
    }];
    for change in change {
        let store = opened(&server.url()).unwrap();
        let mut reader = store.reader(&[3, 1]).unwrap();
        fetched(&mut *reader, 1, &[10]).unwrap();
        change(&store);
        let error = fetched(&mut *reader, 1, &[10]).unwrap_err().to_string();
        assert!(error.contains(":mark`: the server was emptied or filled again"), "{error}");
    }
}

/// Rows before whose second group something happens: the first is on the server then.
struct Disturbed<'a> {
    rows: Contents<'a>,
    happens: &'a dyn Fn() -> Result<()>,
}

impl Rows for Disturbed<'_> {
    fn manifest(&self) -> &Manifest {
        self.rows.manifest()
    }

    fn each(&self, group: usize, visit: &mut dyn FnMut([u64; 2], &[u8]) -> Result<()>) -> Result<()> {
        if group == 1 {
            (self.happens)()?;
        }
        self.rows.each(group, visit)
    }
}

fn fill_disturbed(server: &RedisServer, stop: &Stop, happens: &dyn Fn() -> Result<()>) -> Result<()> {
    let data = data(&[(5, 50)]);
    let rows = Contents::of(&schema(), "e".into(), &data).unwrap();
    fill(&address(&server.url()), &Disturbed { rows, happens }, &Silent, stop)
}

#[test]
fn a_filling_during_which_another_one_fills_the_server_fails() {
    let server = filled(&KEYS);
    let error = fill_disturbed(&server, &Stop::never(), &|| {
        fill_with(&server, &KEYS);
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("somebody else filled") && error.contains("one at a time"), "{error}");
    let before = size(&server);
    fetched(&mut *opened(&server.url()).unwrap().reader(&[2]).unwrap(), 1, &[10]).unwrap();
    fill_with(&server, &KEYS);
    assert_eq!(size(&server), before, "nothing was left");
}

#[test]
fn a_filling_that_is_stopped_or_fails_leaves_nothing() {
    let server = filled(&KEYS);
    let before = size(&server);
    let stop = Stop::default();
    let stopped = fill_disturbed(&server, &stop, &|| {
        // The mark, and the row of its one user.
        assert_eq!(size(&server), before + 2);
        stop.request(2);
        Ok(())
    });
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
    assert_eq!(size(&server), before);
    let failed = fill_disturbed(&server, &Stop::never(), &|| {
        assert_eq!(size(&server), before + 2);
        Err(Error::usage("the data are gone", "find them"))
    });
    assert!(failed.unwrap_err().to_string().contains("the data are gone"));
    assert_eq!(size(&server), before);
    fetched(&mut *opened(&server.url()).unwrap().reader(&[2]).unwrap(), 1, &[10]).unwrap();
}

/// A server without room for more would stay so: what takes the room was to be removed at the end.
#[test]
fn what_killed_fillings_have_left_is_removed_before_anything_is_written_and_nobody_elses_keys_are() {
    let server = filled(&KEYS);
    let before = size(&server);
    let left = ["autofas:0123456789abcdef:0:x", "autofas:0123456789abcdef:mark"];
    let others = ["autofas:0123456789abcdeX:0:x", "autofas:notes:1", "autofas:0123456789abcdef"];
    for key in left.iter().chain(&others) {
        redis::cmd("SET").arg(key).arg("x").exec(&mut linked(&server)).unwrap();
    }
    let there =
        |keys: &[&str]| -> usize { redis::cmd("EXISTS").arg(keys).query(&mut linked(&server)).unwrap() };
    let filled = fill_disturbed(&server, &Stop::never(), &|| {
        assert_eq!((there(&left), size(&server)), (0, before + others.len() + 2));
        Ok(())
    });
    filled.unwrap();
    assert_eq!(there(&others), others.len());
}

#[test]
fn of_fillings_that_are_under_way_at_once_one_succeeds_and_its_rows_stay() {
    let server = RedisServer::start(&[]);
    for _ in 0..10 {
        let at_once = || fill_disturbed(&server, &Stop::never(), &|| Ok(()));
        let all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(at_once)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(all.iter().any(Result::is_ok), "{all:?}");
        let Taken(rows) =
            fetched(&mut *opened(&server.url()).unwrap().reader(&[2]).unwrap(), 5, &[50]).unwrap();
        assert!(rows[0].2[0].is_some(), "{rows:?}");
    }
}

#[test]
fn requests_look_up_no_names() {
    let server = filled(&KEYS);
    let found = Server::find(&address(&server.url())).unwrap();
    let renamed = Server { address: address("redis://no-such-host.invalid"), ..found };
    renamed.connect(SOON).unwrap();
    let unknown = opened("redis://no..host").err().expect("unknown").to_string();
    assert!(unknown.contains("no..host") && unknown.contains("look up the host"), "{unknown}");
}

/// A server that gives its answers a byte at a time would keep a request for ever if only each wait were bounded.
#[test]
fn the_whole_answer_has_to_be_there_in_time() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let trickling = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 64];
        let _ = stream.read(&mut asked);
        // One byte in half of the time that a request has, for a hundred times as long, or until nobody listens.
        let answer = [b"$100\r\n".as_slice(), &[b'x'; 193]].concat();
        let sent = answer.iter().take_while(|&&byte| {
            std::thread::sleep(SOON / 2);
            stream.write_all(&[byte]).is_ok()
        });
        sent.count()
    });
    let mut link = Server::find(&address(&url)).unwrap().connect(SOON).unwrap();
    let error = redis::cmd("GET").arg("x").query::<Value>(&mut link).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    drop(link);
    let sent = trickling.join().unwrap();
    assert!(sent < 100, "{sent} bytes were waited for");
}

#[test]
fn a_password_is_used_and_never_shown() {
    let server = RedisServer::start(&["--requirepass", "secret"]);
    let refused = opened(&server.url()).err().expect("refused").to_string();
    assert!(refused.contains("user and password"), "{refused}");
    let url = server.url().replace("redis://", "redis://:secret@");
    let empty = opened(&url).err().expect("empty").to_string();
    assert!(empty.contains("holds no features") && empty.contains("store load"), "{empty}");
    assert!(!empty.contains("secret"), "{empty}");
    let wrong = opened(&url.replace("secret", "public")).err().expect("refused").to_string();
    assert!(!wrong.contains("public"), "{wrong}");
}

#[test]
fn values_of_another_type_or_length_are_missing_or_refused() {
    let server = filled(&KEYS);
    let store = opened(&server.url()).unwrap();
    let mut connection = store.server.connect(SOON).unwrap();
    let key = |group, key| row_key(&store.current.filling.prefix(group), key);
    redis::cmd("DEL").arg(key(2, 10)).exec(&mut connection).unwrap();
    redis::cmd("RPUSH").arg(key(2, 10)).arg("x").exec(&mut connection).unwrap();
    let Taken(rows) = fetched(&mut *store.reader(&[2]).unwrap(), 1, &[10, 11]).unwrap();
    assert!(rows[0].2[0].is_none() && rows[0].2[1].is_some(), "{rows:?}");
    redis::cmd("SET").arg(key(4, 1)).arg("three").exec(&mut connection).unwrap();
    let refused = fetched(&mut *store.reader(&[4]).unwrap(), 1, &[10]).unwrap_err().to_string();
    assert!(refused.contains("pairs of another length") && refused.contains("store load"), "{refused}");
    redis::cmd("SET").arg(key(2, 11)).arg("x").exec(&mut connection).unwrap();
    let Taken(rows) = fetched(&mut *store.reader(&[2]).unwrap(), 1, &[11]).unwrap();
    assert_eq!(rows[0].2[0].as_deref(), Some(&b"x"[..]), "whoever decodes it sees its length");
    let mark = store.current.filling.mark();
    redis::cmd("DEL").arg(&mark).exec(&mut connection).unwrap();
    redis::cmd("RPUSH").arg(&mark).arg("x").exec(&mut connection).unwrap();
    let refused = fetched(&mut *store.reader(&[2]).unwrap(), 1, &[11]).unwrap_err().to_string();
    assert!(refused.contains("WRONGTYPE") && refused.contains("store load"), "{refused}");
    redis::cmd("DEL").arg(MANIFEST).exec(&mut connection).unwrap();
    redis::cmd("RPUSH").arg(MANIFEST).arg("x").exec(&mut connection).unwrap();
    let fillable = || check_fillable(&address(&server.url()));
    let filled = fill_until(&server, &KEYS, &Stop::never());
    for refused in [opened(&server.url()).map(drop), filled, fillable().map(drop)] {
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("autofas:manifest is somebody else's") && refused.contains("remove it"),
            "{refused}"
        );
    }
    redis::cmd("SET").arg(MANIFEST).arg("{}").exec(&mut connection).unwrap();
    let refused = opened(&server.url()).err().expect("refused").to_string();
    assert!(refused.contains("autofas:manifest") && refused.contains("no manifest"), "{refused}");
    assert!(!fillable().unwrap(), "that is written over");
    fill_with(&server, &KEYS);
    assert!(fillable().unwrap());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let nobody = RedisServer::start(&[]).url();
    let refused = opened(&nobody).err().expect("refused").to_string();
    assert!(refused.contains(&nobody) && refused.contains("connect"), "{refused}");
}
