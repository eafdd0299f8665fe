//! Writes small MaxMind databases (`.mmdb`, format 2.0) of kind City, so that no real one is needed.
//!
//! A database is a binary tree over the bits of an address whose leaves point into a data section,
//! and a map of metadata behind a marker. IPv4 networks lie below `::/96`.
//! Source: <https://maxmind.github.io/MaxMind-DB/>.

use std::net::IpAddr;
use std::path::Path;

/// A network and where it is. The texts are ISO codes and English names.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// `192.0.2.0/24` or `2001:db8::/32`.
    pub cidr: &'static str,
    /// Country: code and name.
    pub country: (&'static str, &'static str),
    /// First subdivision, where known.
    pub region: Option<(&'static str, &'static str)>,
    /// City, where known.
    pub city: Option<&'static str>,
}

/// Writes a City database of these networks, which do not overlap.
///
/// # Panics
/// When a network is not one, or the file cannot be written.
pub fn write(path: &Path, networks: &[Network]) {
    let mut tree = Tree { nodes: vec![[Child::Empty; 2]] };
    let mut data = Vec::new();
    for network in networks {
        tree.insert(network.cidr, data.len());
        put_record(&mut data, network);
    }
    let count = tree.nodes.len();
    let mut file = Vec::new();
    for node in &tree.nodes {
        for child in node {
            let value = match child {
                Child::Empty => count,
                Child::Node(index) => *index,
                Child::Data(offset) => count + 16 + offset,
            };
            file.extend_from_slice(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
        }
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    put_metadata(&mut file, count);
    std::fs::write(path, file).unwrap();
}

#[derive(Debug, Clone, Copy)]
enum Child {
    Empty,
    Node(usize),
    Data(usize),
}

struct Tree {
    nodes: Vec<[Child; 2]>,
}

impl Tree {
    fn insert(&mut self, cidr: &str, offset: usize) {
        let (address, len) = cidr.split_once('/').expect("a network");
        let len: u32 = len.parse().unwrap();
        let (bits, len) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), len + 96),
            IpAddr::V6(address) => (address.to_bits(), len),
        };
        let bit = |index: u32| usize::try_from(bits >> (127 - index) & 1).unwrap();
        let mut at = 0;
        for index in 0..len - 1 {
            at = match self.nodes[at][bit(index)] {
                Child::Node(next) => next,
                Child::Empty => {
                    let next = self.nodes.len();
                    self.nodes.push([Child::Empty; 2]);
                    self.nodes[at][bit(index)] = Child::Node(next);
                    next
                }
                Child::Data(_) => panic!("network {cidr} lies in another"),
            };
        }
        self.nodes[at][bit(len - 1)] = Child::Data(offset);
    }
}

fn put_record(out: &mut Vec<u8>, network: &Network) {
    let parts = 1 + usize::from(network.region.is_some()) + usize::from(network.city.is_some());
    put_map(out, parts);
    put_text(out, "country");
    put_place(out, Some(network.country.0), network.country.1);
    if let Some((code, name)) = network.region {
        put_text(out, "subdivisions");
        put_array(out, 1);
        put_place(out, Some(code), name);
    }
    if let Some(name) = network.city {
        put_text(out, "city");
        put_place(out, None, name);
    }
}

fn put_place(out: &mut Vec<u8>, code: Option<&str>, name: &str) {
    put_map(out, 1 + usize::from(code.is_some()));
    if let Some(code) = code {
        put_text(out, "iso_code");
        put_text(out, code);
    }
    put_text(out, "names");
    put_map(out, 1);
    put_text(out, "en");
    put_text(out, name);
}

fn put_metadata(out: &mut Vec<u8>, nodes: usize) {
    put_map(out, 9);
    put_text(out, "binary_format_major_version");
    put_number(out, 5, &[2]);
    put_text(out, "binary_format_minor_version");
    put_number(out, 5, &[]);
    put_text(out, "build_epoch");
    put_number(out, 9, &1_700_000_000_u64.to_be_bytes()[4..]);
    put_text(out, "database_type");
    put_text(out, "GeoLite2-City");
    put_text(out, "description");
    put_map(out, 0);
    put_text(out, "ip_version");
    put_number(out, 5, &[6]);
    put_text(out, "languages");
    put_array(out, 1);
    put_text(out, "en");
    put_text(out, "node_count");
    put_number(out, 6, &u32::try_from(nodes).unwrap().to_be_bytes());
    put_text(out, "record_size");
    put_number(out, 5, &[24]);
}

/// Type and length of a field; types above 7 stand in a byte of their own.
fn put_control(out: &mut Vec<u8>, kind: u8, len: usize) {
    let short = u8::try_from(len.min(29)).unwrap();
    match kind {
        1..=7 => out.push(kind << 5 | short),
        _ => out.extend_from_slice(&[short, kind - 7]),
    }
    if short == 29 {
        out.push(u8::try_from(len - 29).expect("a field of at most 284 bytes"));
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_control(out, 2, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    put_control(out, kind, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_map(out: &mut Vec<u8>, len: usize) {
    put_control(out, 7, len);
}

fn put_array(out: &mut Vec<u8>, len: usize) {
    put_control(out, 11, len);
}
