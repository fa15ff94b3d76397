;; The smallest connector: it exports the contract's interface and describes
;; itself and one stream from constants. Small, so that compiling a mutation of
;; it takes a millisecond. Its core module may be replaced by any other that
;; exports the same.
(component
  (component $connector
    (core module $code
      (memory (export "memory") 1 4)
      (global $free (mut i32) (i32.const 4096))
      (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at
          (i32.and
            (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $free (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
      (func (export "spec") (result i32) (i32.const 1024))
      (func (export "check") (result i32) (i32.const 1104))
      (func (export "discover") (result i32) (i32.const 1112))
      (func (export "run") (result i32) (i32.const 1104))
      ;; Texts.
      (data (i32.const 16) "seed1.2.3Seed connectorOf the fuzzers.")
      (data (i32.const 64) "{\"type\":\"object\",\"properties\":{\"Token\":{\"type\":\"string\",\"writeOnly\":true}}}")
      (data (i32.const 192) "https://api.example.com")
      (data (i32.const 224) "rowsid")
      ;; connector-spec at 1024: name, version, title, description,
      ;; documentation-url (none), config-schema, network, plain-secrets.
      (data (i32.const 1024) "\10\00\00\00\04\00\00\00" "\14\00\00\00\05\00\00\00"
        "\19\00\00\00\0e\00\00\00" "\27\00\00\00\0f\00\00\00"
        "\00\00\00\00\00\00\00\00\00\00\00\00"
        "\40\00\00\00\4b\00\00\00" "\00\05\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00")
      ;; The list of origins at 1280.
      (data (i32.const 1280) "\c0\00\00\00\17\00\00\00")
      ;; result ok at 1104; result ok(list of 1 stream at 1300) at 1112.
      (data (i32.const 1104) "\00\00\00\00\00\00\00\00")
      (data (i32.const 1112) "\00\00\00\00\00\00\00\00" "\14\05\00\00\01\00\00\00")
      ;; stream at 1300: name, description (none), fields, primary-key,
      ;; cursor-field (none), partition-field (none).
      (data (i32.const 1300) "\e0\00\00\00\04\00\00\00" "\00\00\00\00\00\00\00\00\00\00\00\00"
        "\50\05\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00"
        "\00\00\00\00\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00\00\00\00\00")
      ;; field at 1360: name, data-type (text), nullable, description (none).
      (data (i32.const 1360) "\e4\00\00\00\02\00\00\00" "\04\00\00\01" "\00\00\00\00\00\00\00\00\00\00\00\00"))
    (core instance $code (instantiate $code))
    (alias core export $code "memory" (core memory $memory))

    (type $error-kind' (enum "config" "auth" "rate-limited" "unavailable" "invalid-data" "denied"
      "limit-exceeded" "cancelled" "internal"))
    (export $error-kind "error-kind" (type $error-kind'))
    (type $error' (record (field "kind" $error-kind) (field "message" string)
      (field "parameter" (option string)) (field "retry-after-ms" (option u64))))
    (export $error "error" (type $error'))
    (type $data-type' (variant (case "boolean") (case "int64") (case "float64")
      (case "decimal" (tuple u8 u8)) (case "text") (case "bytes") (case "date") (case "timestamp")
      (case "json")))
    (export $data-type "data-type" (type $data-type'))
    (type $field' (record (field "name" string) (field "data-type" $data-type) (field "nullable" bool)
      (field "description" (option string))))
    (export $field "field" (type $field'))
    (type $stream' (record (field "name" string) (field "description" (option string))
      (field "fields" (list $field)) (field "primary-key" (list string))
      (field "cursor-field" (option string)) (field "partition-field" (option string))))
    (export $stream "stream" (type $stream'))
    (type $connector-spec' (record (field "name" string) (field "version" string) (field "title" string)
      (field "description" string) (field "documentation-url" (option string))
      (field "config-schema" string) (field "network" (list string)) (field "plain-secrets" (list string))))
    (export $connector-spec "connector-spec" (type $connector-spec'))

    (func $spec (result $connector-spec)
      (canon lift (core func $code "spec") (memory $memory) string-encoding=utf8))
    (export "spec" (func $spec))
    (func $check (result (result (error $error)))
      (canon lift (core func $code "check") (memory $memory) string-encoding=utf8))
    (export "check" (func $check))
    (func $discover (result (result (list $stream) (error $error)))
      (canon lift (core func $code "discover") (memory $memory) string-encoding=utf8))
    (export "discover" (func $discover))
    (func $run (result (result (error $error)))
      (canon lift (core func $code "run") (memory $memory) string-encoding=utf8))
    (export "run" (func $run)))
  (instance $connector (instantiate $connector))
  (export "ow:connector/connector@0.1.0" (instance $connector)))
