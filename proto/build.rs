//! Compiles `godwit/v1/*.proto` without `protoc`, and gives every generated
//! type a `Serialize` that writes the API's own names (for `-o json`).

use std::path::PathBuf;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic_prost_build::Builder;

const PACKAGE: &str = "godwit.v1";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=godwit");
    let files = [
        "types", "config", "daemon", "peers", "routes", "policy", "fib",
    ]
    .map(|name| format!("godwit/v1/{name}.proto"));
    let set = protox::compile(files, ["."])?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("godwit.v1.bin"), set.encode_to_vec())?;

    let builder =
        tonic_prost_build::configure().message_attribute(".", "#[derive(serde::Serialize)]");
    json_names(builder, &set).compile_fds(set)?;
    Ok(())
}

fn json_names(mut builder: Builder, set: &FileDescriptorSet) -> Builder {
    for file in set.file.iter().filter(|f| f.package() == PACKAGE) {
        for message in &file.message_type {
            builder = json_names_of(builder, &format!(".{PACKAGE}"), message);
        }
    }
    builder
}

/// Enumerations by name, times and spans as text, bytes as hex, a message
/// that is a oneof as the one field of it that is set.
fn json_names_of(mut builder: Builder, scope: &str, message: &DescriptorProto) -> Builder {
    let path = format!("{scope}.{}", message.name());
    for field in &message.field {
        let list = field.label() == Label::Repeated;
        let with = match (field.r#type(), field.type_name(), list) {
            (Type::Enum, name, false) => format!("crate::json::name::<{}, _>", rust_path(name)),
            (Type::Enum, name, true) => format!("crate::json::names::<{}, _>", rust_path(name)),
            (Type::Message, ".google.protobuf.Timestamp", false) => "crate::json::time".into(),
            (Type::Message, ".google.protobuf.Duration", false) => "crate::json::span".into(),
            (Type::Bytes, _, false) => "crate::json::hex".into(),
            _ => continue,
        };
        builder = builder.field_attribute(
            format!("{path}.{}", field.name()),
            format!("#[serde(serialize_with = \"{with}\")]"),
        );
    }
    for one in &message.oneof_decl {
        // proto3 `optional` makes a oneof of its own, by a name that begins so.
        if one.name().starts_with('_') {
            continue;
        }
        assert_eq!(
            message.oneof_decl.len(),
            1,
            "{path}: one oneof and nothing else"
        );
        builder = builder
            .message_attribute(&path, "#[serde(transparent)]")
            .type_attribute(
                format!("{path}.{}", one.name()),
                "#[derive(serde::Serialize)] #[serde(rename_all = \"snake_case\")]",
            );
    }
    for nested in &message.nested_type {
        builder = json_names_of(builder, &path, nested);
    }
    builder
}

/// `.godwit.v1.Outer.Kind` is `outer::Kind` in the generated module.
fn rust_path(name: &str) -> String {
    let name = name.trim_start_matches(&format!(".{PACKAGE}."));
    let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    let last = parts.len() - 1;
    for part in &mut parts[..last] {
        *part = snake_case(part);
    }
    format!("crate::v1::{}", parts.join("::"))
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
