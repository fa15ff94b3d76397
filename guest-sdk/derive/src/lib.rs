//! The derive macros of `ow-connector`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, LitStr, Result, Token};

/// Makes rows of a stream of a struct.
///
/// ```ignore
/// /// What the table holds.                       → the stream's description
/// #[derive(Record)]
/// #[record(stream = "payments", primary_key = "reference", cursor = "created_at", partition = "created_at")]
/// struct Payment<'a> {
///     /// The provider's reference.               → the field's description
///     reference: &'a str,
///     amount: i64,
///     asset: Option<String>,                      // an option is nullable
///     created_at: Timestamp,
///     #[record(rename = "type")]
///     kind: String,
/// }
/// ```
///
/// `primary_key` is one name or a list, `["date", "label"]`. Names are those of
/// the columns, after `rename`. A raw name, `r#type`, is the column `type`.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    expand(&syn::parse_macro_input!(input as DeriveInput)).unwrap_or_else(Error::into_compile_error).into()
}

/// What `#[record(…)]` says of the struct.
#[derive(Default)]
struct StreamOptions {
    name: Option<LitStr>,
    primary_key: Vec<LitStr>,
    cursor: Option<LitStr>,
    partition: Option<LitStr>,
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "a record is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(data.fields.span(), "a record has named fields"));
    };
    let options = stream_options(input)?;
    let Some(name) = &options.name else {
        return Err(Error::new(input.ident.span(), "say `#[record(stream = \"…\")]`: the stream's name"));
    };

    let mut names = Vec::new();
    let mut columns = Vec::new();
    let mut cells = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let name = column_name(field)?;
        if names.contains(&name) {
            return Err(Error::new(ident.span(), format!("there are two columns `{name}`")));
        }
        let ty = &field.ty;
        let description = description(&field.attrs);
        columns.push(quote! { .field(::ow_connector::Field::of::<#ty>(#name) #description) });
        cells.push(quote! { row.put(::ow_connector::Value::cell(&self.#ident)); });
        names.push(name);
    }
    for wanted in options.primary_key.iter().chain(&options.cursor).chain(&options.partition) {
        if !names.contains(&wanted.value()) {
            return Err(Error::new(wanted.span(), format!("there is no column `{}`", wanted.value())));
        }
    }

    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let about = description(&input.attrs);
    let primary_key = &options.primary_key;
    let cursor = options.cursor.iter().map(|field| quote! { .cursor(#field) });
    let partition = options.partition.iter().map(|field| quote! { .partition(#field) });
    Ok(quote! {
        impl #generics ::ow_connector::Record for #ident #arguments #bounds {
            const STREAM: &'static str = #name;

            fn stream() -> ::ow_connector::Stream {
                ::ow_connector::Stream::new(#name)
                    #about
                    #(#columns)*
                    .primary_key([#(#primary_key),*] as [&str; _])
                    #(#cursor)*
                    #(#partition)*
            }

            #[inline]
            fn encode(&self, row: &mut ::ow_connector::Row<'_>) {
                #(#cells)*
            }
        }
    })
}

fn stream_options(input: &DeriveInput) -> Result<StreamOptions> {
    let mut options = StreamOptions::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
        attribute.parse_nested_meta(|meta| {
            let is = |name| meta.path.is_ident(name);
            if is("stream") {
                options.name = Some(meta.value()?.parse()?);
            } else if is("primary_key") {
                options.primary_key = names(meta.value()?.parse()?)?;
            } else if is("cursor") {
                options.cursor = Some(meta.value()?.parse()?);
            } else if is("partition") {
                options.partition = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("expected `stream`, `primary_key`, `cursor` or `partition`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

/// One name, or a list of them.
fn names(value: Expr) -> Result<Vec<LitStr>> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => Ok(vec![name]),
        Expr::Array(list) => {
            list.elems.into_iter().map(names).collect::<Result<Vec<_>>>().map(|all| all.concat())
        }
        other => Err(Error::new(other.span(), "expected a name or a list of names")),
    }
}

fn column_name(field: &syn::Field) -> Result<String> {
    let mut name = field.ident.as_ref().map(|ident| {
        let name = ident.to_string();
        name.strip_prefix("r#").map(str::to_owned).unwrap_or(name)
    });
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("expected `rename`"));
            }
            name = Some(meta.value()?.parse::<LitStr>()?.value());
            if meta.input.is_empty() || meta.input.peek(Token![,]) {
                Ok(())
            } else {
                Err(meta.error("expected one name"))
            }
        })?;
    }
    Ok(name.unwrap_or_default())
}

/// `.describe("…")` of the doc comment, where there is one.
fn description(attributes: &[Attribute]) -> Option<Tokens> {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
            match &attribute.meta.require_name_value().ok()?.value {
                Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
                _ => None,
            }
        });
    let text = lines.collect::<Vec<_>>().join(" ").trim().to_owned();
    (!text.is_empty()).then(|| quote! { .describe(#text) })
}
