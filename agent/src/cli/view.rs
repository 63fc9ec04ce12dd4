//! Tables for people: which columns each sort of record has, and how values are written.
//!
//! A line is never wrapped and never holds a control character, so that one object is one line
//! whatever an array calls it.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::objects::Entry;

/// One column of a table.
pub struct Column {
    head: &'static str,
    right: bool,
    /// Whether the column is left out where no row has anything in it.
    sparse: bool,
    text: fn(&Entry) -> String,
}

const fn column(head: &'static str, text: fn(&Entry) -> String) -> Column {
    Column { head, right: false, sparse: false, text }
}

const fn number(head: &'static str, text: fn(&Entry) -> String) -> Column {
    Column { head, right: true, sparse: false, text }
}

const fn sparse(head: &'static str, text: fn(&Entry) -> String) -> Column {
    Column { head, right: false, sparse: true, text }
}

/// `oscctl plugin list`.
pub const PLUGINS: &[Column] = &[
    column("PLUGIN", |e| e.id.clone()),
    column("TYPE", |e| bare(&e.property("Status")["plugin_type"])),
    column("VERSION", |e| bare(&e.property("Info")["plugin_version"])),
    column("STATE", |e| plugin_state(e).into()),
    sparse("INTERPRETER", |e| bare(&e.property("Status")["interpreter"])),
    sparse("ERROR", |e| first_line(&bare(&e.property("Status")["error"]))),
];

/// `oscctl server list`.
pub const SERVERS: &[Column] = &[
    column("NAME", |e| e.text("name").into()),
    sparse("PLUGIN", plugin_of),
    column("TYPE", |e| e.text("storage_type").into()),
    number("SIZE", |e| bytes(&e.record["total_sz"])),
    number("FREE", |e| bytes(&e.record["free_sz"])),
    column("STATE", |e| server_state(e.property("State")).into()),
    column("UUID", element_id),
];

/// `oscctl element list`.
pub const ELEMENTS: &[Column] = &[
    column("NAME", |e| e.text("name").into()),
    column("TYPE", |e| e.text("se_type").into()),
    number("SIZE", |e| bytes(&e.record["size"])),
    column("STATE", |e| e.text("state").into()),
    sparse("PARENT", |e| match e.property("parent") {
        Value::Null => parent(&e.record),
        named => bare(named),
    }),
    sparse("DEVICE", |e| bare(&e.record["path"])),
    sparse("SERVER", |e| bare(e.property("server"))),
    column("ID", element_id),
];

/// `oscctl fs list`.
pub const FILE_SYSTEMS: &[Column] = &[
    column("NAME", |e| e.text("name").into()),
    number("SIZE", |e| bytes(&e.record["size"])),
    number("FREE", |e| bytes(&e.record["free_sz"])),
    column("STATE", |e| e.text("state").into()),
    sparse("ACCESS", |e| e.text("access_path").into()),
    sparse("MOUNTED", |e| bare(e.property("mounts"))),
    sparse("SERVER", |e| bare(e.property("server"))),
    column("ID", element_id),
];

const FILES: &[Column] = &[
    column("PATH", |e| e.text("file_path").into()),
    column("TYPE", |e| e.text("fr_type").into()),
    number("SIZE", |e| bytes(&e.record["file_sz"])),
    number("ON DISK", |e| bytes(&e.record["ondisk_sz"])),
    sparse("SNAPSHOT", |e| e.text("snap_name").into()),
];

/// Mounts of a file system.
pub const MOUNTS: &[Column] = &[
    column("MOUNT POINT", |e| e.text("mount_point").into()),
    sparse("PATH", |e| e.text("share_path").into()),
    column("OPTIONS", |e| bare(&e.record["options"])),
    column("STATUS", |e| e.text("status").into()),
];

const GROUPS: &[Column] = &[
    column("GROUP", |e| e.text("grp_name").into()),
    column("ENTRIES", |e| bare(&e.record["grp_entries"])),
    sparse("MODES", |e| bare(&e.record["grp_modes"])),
];

const QOS: &[Column] = &[
    number("PRIORITY", |e| bare(&e.record["priority"])),
    column("VALUE", |e| e.text("value").into()),
    sparse("DESCRIPTION", |e| e.text("description").into()),
];

const DEVICES: &[Column] = &[
    column("NAME", |e| e.text("name").into()),
    number("SIZE", |e| bytes(&e.record["total_sz"])),
    number("FREE", |e| bytes(&e.record["free_sz"])),
    column("DEVICE", |e| e.text("value").into()),
    sparse("DESCRIPTION", |e| e.text("description").into()),
];

/// `oscctl op list`.
pub const OPERATIONS: &[Column] = &[
    column("COMMAND", |e| e.text("command").into()),
    column("TARGET", |e| match e.property("target") {
        Value::Null => e.text("target").into(),
        named => bare(named),
    }),
    column("STATE", |e| match (e.text("state"), &e.record["progress"]) {
        ("running", Value::Number(percent)) => format!("running {percent}%"),
        (state, _) => state.into(),
    }),
    column("CREATED", |e| e.text("created").into()),
    sparse("TOOK", took),
    column("ID", |e| e.id.clone()),
    sparse("ERROR", |e| first_line(&bare(&e.record["error"]["message"]))),
];

/// The key that only one sort of record has, and that sort's columns.
const SORTS: &[(&str, &[Column])] = &[
    ("se_type", ELEMENTS),
    ("fr_type", FILES),
    ("mount_point", MOUNTS),
    ("grp_name", GROUPS),
    ("export_opts", FILE_SYSTEMS),
    ("mount_options", FILE_SYSTEMS),
    ("storage_type", SERVERS),
    ("priority", QOS),
    ("total_sz", DEVICES),
];

/// The columns for a record of whichever sort, if it is of a known one.
pub fn columns_for(record: &Value) -> Option<&'static [Column]> {
    SORTS.iter().find(|(key, _)| record.get(key).is_some()).map(|(_, columns)| *columns)
}

/// Rows as a table without borders; "" when there are no rows.
pub fn table(columns: &[Column], entries: &[Entry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> =
        entries.iter().map(|entry| columns.iter().map(|c| clean(&(c.text)(entry))).collect()).collect();
    let shown: Vec<usize> = (0..columns.len())
        .filter(|index| !columns[*index].sparse || rows.iter().any(|row| !row[*index].is_empty()))
        .collect();
    let heads: Vec<String> = shown.iter().map(|index| columns[*index].head.to_owned()).collect();
    let rights: Vec<bool> = shown.iter().map(|index| columns[*index].right).collect();
    let rows = rows.iter().map(|row| {
        // A dash keeps columns countable where a value is missing.
        let cell = |index: &usize| if row[*index].is_empty() { "-".to_owned() } else { row[*index].clone() };
        shown.iter().map(cell).collect()
    });
    layout(Some(heads), rows, &rights)
}

/// Names and values, one pair a line.
pub fn pairs(pairs: &[(String, String)]) -> String {
    layout(None, pairs.iter().map(|(name, value)| vec![format!("{name}:"), clean(value)]), &[])
}

/// Aligned columns without heads.
pub fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    layout(None, rows.into_iter(), &[])
}

fn layout(heads: Option<Vec<String>>, rows: impl Iterator<Item = Vec<String>>, rights: &[bool]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if let Some(heads) = heads {
        table.set_header(heads);
    }
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if rights.get(index) == Some(&true) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A record's fields that are set, as names and values.
pub fn fields(record: &Value) -> Vec<(String, String)> {
    let Value::Object(map) = record else { return Vec::new() };
    map.iter()
        .map(|(name, value)| {
            let size = name == "size" || name.ends_with("_sz") || name.ends_with("_size");
            let exact = value.as_i64().filter(|n| size && *n >= 1024);
            let text = match exact {
                Some(exact) => format!("{} ({exact} bytes)", bytes(value)),
                None => bare(value),
            };
            (name.clone(), text)
        })
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// A value in one line: text as it is, lists with commas, dicts as JSON, nothing as "".
pub fn bare(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(bare).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Bytes in IEC units with one decimal; "" for what is unknown or not applicable.
pub fn bytes(value: &Value) -> String {
    value.as_u64().map(iec).unwrap_or_default()
}

/// Bytes in IEC units with one decimal.
pub fn iec(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be printed as 1024.0 of the smaller unit.
    while number >= 1023.95 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

/// How a plug-in is doing, in a word.
pub fn plugin_state(entry: &Entry) -> &'static str {
    let status = entry.property("Status");
    let problems = status["problems"].as_array().is_some_and(|list| !list.is_empty());
    match (status["usable"].as_bool().unwrap_or(false), problems || status["error"].is_string()) {
        (true, false) => "usable",
        (true, true) => "usable, with problems",
        (false, _) => "unusable",
    }
}

/// How fresh what is known of a server is, in a word.
pub fn server_state(state: &Value) -> &'static str {
    let is = |name: &str| state[name].as_bool();
    match (is("plugin_available"), !state["error"].is_null(), is("stale")) {
        (Some(false), _, _) => "no plug-in",
        (_, true, _) => "failing",
        (_, _, Some(true)) => "stale",
        _ => "ok",
    }
}

/// The element that a snapshot or a clone came from: plug-ins say it in keys of their own, or in
/// `extra_info`.
pub fn parent(record: &Value) -> String {
    let key = ["parent_id", "parent"].into_iter().find_map(|key| record[key].as_str());
    let extra = record["extra_info"].as_str().unwrap_or("");
    // A clone is no child, but people want to know what it was made from, until it is split off.
    let keys: &[&str] = if record["se_type"] == "LUN" { &["parent"] } else { &["parent", "cloned_from"] };
    let named =
        |key: &str| extra.split(',').find_map(|pair| pair.trim().strip_prefix(key)?.strip_prefix('='));
    let pair = || keys.iter().find_map(|key| named(key));
    key.or_else(pair).unwrap_or("").to_owned()
}

fn plugin_of(entry: &Entry) -> String {
    match entry.property("plugin") {
        // Erased, or not loaded yet: its path is all there is of it.
        Value::Null => {
            let path = bare(entry.property("Plugin"));
            let label = path.rsplit('/').next().unwrap_or("");
            crate::bus::label::decode(label).unwrap_or_else(|| label.to_owned())
        }
        named => bare(named),
    }
}

fn element_id(entry: &Entry) -> String {
    let record =
        || ["uuid", "page83_id", "id"].into_iter().map(|key| entry.text(key)).find(|id| !id.is_empty());
    match entry.id.as_str() {
        "" => record().unwrap_or("").to_owned(),
        id => id.to_owned(),
    }
}

fn took(entry: &Entry) -> String {
    let at = |key: &str| humantime::parse_rfc3339(entry.text(key)).ok();
    match (at("created"), at("ended")) {
        (Some(created), Some(ended)) => {
            let took = ended.duration_since(created).unwrap_or_default();
            format!("{:.1} s", took.as_secs_f64())
        }
        _ => String::new(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").to_owned()
}

/// Text that can be printed on a terminal: control characters, which an array's names may hold,
/// become `?`.
pub fn clean(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
