//! The generated faces of the WIT worlds. Plugin code uses the crate's own types instead.

/// World `source`.
pub mod source {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/plugin"],
        world: "connector:plugin/source",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_source_world",
        default_bindings_module: "connector_sdk::bindings::source",
    });
}

/// World `migrating`; its types are those of [`source`].
pub mod migrating {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/plugin"],
        world: "connector:plugin/migrating",
        with: { "connector:plugin/types@0.1.1": crate::bindings::source::connector::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_migrating_world",
        default_bindings_module: "connector_sdk::bindings::migrating",
    });
}

/// World `transform`; its types are those of [`source`].
pub mod transform {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/plugin"],
        world: "connector:plugin/transform",
        with: {
            "connector:plugin/types@0.1.1": crate::bindings::source::connector::plugin::types,
            "connector:host/log@0.1.1": crate::bindings::source::connector::host::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_transform_world",
        default_bindings_module: "connector_sdk::bindings::transform",
    });
}

/// World `layout`; its types are those of [`source`].
pub mod layout {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/plugin"],
        world: "connector:plugin/layout",
        with: {
            "connector:plugin/types@0.1.1": crate::bindings::source::connector::plugin::types,
            "connector:host/log@0.1.1": crate::bindings::source::connector::host::log,
        },
        // Identities are compared, and serve as keys.
        additional_derives: [PartialEq, Eq, Hash],
        pub_export_macro: true,
        export_macro_name: "export_layout_world",
        default_bindings_module: "connector_sdk::bindings::layout",
    });
}

/// World `ingest`; its types are those of [`source`].
pub mod ingest {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/plugin"],
        world: "connector:plugin/ingest",
        with: {
            "connector:plugin/types@0.1.1": crate::bindings::source::connector::plugin::types,
            "connector:host/log@0.1.1": crate::bindings::source::connector::host::log,
        },
        // Tests, and plugins that look a type up, compare.
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "export_ingest_world",
        default_bindings_module: "connector_sdk::bindings::ingest",
    });
}
