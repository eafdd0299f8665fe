//! The outside world, one folder a system. No room in here knows another.

pub mod druid;
pub mod embedded;
pub mod feed;
pub mod geoip;
pub mod kafka;
pub mod local;
pub mod oci;
pub mod qumulo;
pub mod rest;
pub mod web;
