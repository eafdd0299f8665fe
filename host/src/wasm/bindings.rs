//! Generated from `wit/`: the host's face of the contract. Everything a host function returns may
//! also be a trap, which is a different type (`trappable`).

/// World `source`.
pub mod source {
    wasmtime::component::bindgen!({
        path: ["../wit/host", "../wit/plugin"],
        world: "connector:plugin/source",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// World `migrating`; the types it shares with `source` are those.
pub mod migrating {
    wasmtime::component::bindgen!({
        path: ["../wit/host", "../wit/plugin"],
        world: "connector:plugin/migrating",
        exports: { default: async },
        with: { "connector:plugin/types": super::source::connector::plugin::types },
    });
}

/// World `transform`; the types it shares with `source` are those.
pub mod transform {
    wasmtime::component::bindgen!({
        path: ["../wit/host", "../wit/plugin"],
        world: "connector:plugin/transform",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "connector:plugin/types": super::source::connector::plugin::types,
            "connector:host/log": super::source::connector::host::log,
        },
    });
}

/// World `layout`; the types it shares with `source` are those.
pub mod layout {
    wasmtime::component::bindgen!({
        path: ["../wit/host", "../wit/plugin"],
        world: "connector:plugin/layout",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "connector:plugin/types": super::source::connector::plugin::types,
            "connector:host/log": super::source::connector::host::log,
        },
    });
}

/// World `ingest`; the types it shares with `source` are those.
pub mod ingest {
    wasmtime::component::bindgen!({
        path: ["../wit/host", "../wit/plugin"],
        world: "connector:plugin/ingest",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "connector:plugin/types": super::source::connector::plugin::types,
            "connector:host/log": super::source::connector::host::log,
        },
    });
}
