package topology

import (
	"encoding/json"
	"strings"
)

// Schema is the JSON Schema (draft 7) of a topology file, for editors. It is made from the table that Load goes by, but
// knows single keys only: links, needs, cycles and paths are Load's to check.
func Schema() []byte {
	root := language()
	out := tableSchema(root)
	out["$schema"] = "http://json-schema.org/draft-07/schema#"
	out["$id"] = "https://github.com/dsat/dsat/etc/topology.schema.json"
	out["title"] = "dsat topology"
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		panic("schema: " + err.Error()) // made of maps, strings and numbers only
	}
	return append(text, '\n')
}

// member is the schema of one key with its description.
func member(k *key) map[string]any {
	if k.later {
		return map[string]any{"description": k.doc + " Not in this version.", "not": map[string]any{}}
	}
	out := k.kind.schema(k)
	out["description"] = describe(k)
	if v, ok := jsonDefault(k); ok {
		out["default"] = v
	}
	return out
}

// describe is the doc with what the values mean.
func describe(k *key) string {
	text := k.doc
	for _, c := range k.choices {
		if c.doc != "" && !c.later {
			text += "\n" + c.value + ": " + c.doc
		}
	}
	if k.auto != "" {
		text += "\nDefault: " + k.auto
	}
	return text
}

func jsonDefault(k *key) (any, bool) {
	if k.def == "" || k.auto != "" {
		return nil, false
	}
	if strings.HasPrefix(k.def, `"`) {
		return strings.Trim(k.def, `"`), true
	}
	return json.RawMessage(k.def), true
}

func tableSchema(k *key) map[string]any {
	members := map[string]any{}
	for _, c := range k.keys {
		members[c.name] = member(c)
	}
	return map[string]any{"type": "object", "properties": members, "additionalProperties": false}
}

// expandable accepts, beside what fits, any string with a variable in it: its value is not known to an editor.
func expandable(fits map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{fits, map[string]any{"type": "string", "pattern": `\$\{`}}}
}

func oneOrList() map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"oneOf": []any{text, map[string]any{"type": "array", "items": text, "uniqueItems": true}}}
}

func (tableKind) schema(k *key) map[string]any {
	table := tableSchema(k)
	if k.short == "" {
		return table
	}
	return map[string]any{"oneOf": []any{k.find(k.short).kind.schema(k.find(k.short)), table}}
}

func (n namesKind) schema(k *key) map[string]any {
	if n.free {
		return map[string]any{"type": "object", "additionalProperties": member(k.each)}
	}
	pattern := `^[A-Za-z_][A-Za-z0-9_]*$`
	if _, tables := k.each.kind.(tableKind); tables {
		pattern = `^[a-z0-9][a-z0-9_-]{0,62}$`
	}
	return map[string]any{"type": "object", "patternProperties": map[string]any{pattern: member(k.each)}, "additionalProperties": false}
}

func (freeKind) schema(*key) map[string]any { return map[string]any{"type": "object"} }

func (textKind) schema(*key) map[string]any { return map[string]any{"type": "string"} }

func (nameKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": `^[a-z0-9][a-z0-9_-]{0,62}$`})
}

func (boolKind) schema(*key) map[string]any { return map[string]any{"type": "boolean"} }

func (wholeKind) schema(k *key) map[string]any {
	return map[string]any{"type": "integer", "minimum": k.min, "maximum": k.max}
}

func (numberKind) schema(k *key) map[string]any {
	return map[string]any{"type": "number", "minimum": k.min, "maximum": k.max}
}

func (durationKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": `^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`})
}

func (sizeKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)? ?([KMGT]iB|kB|[MGT]?B)$`})
}

func (enumKind) schema(k *key) map[string]any {
	var values []string
	for _, c := range k.choices {
		if !c.later {
			values = append(values, c.value)
		}
	}
	return expandable(map[string]any{"enum": values})
}

func (signalKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": "^(SIG)?(" + strings.Join(signalNames(), "|") + ")$"})
}

func (pathKind) schema(*key) map[string]any { return map[string]any{"type": "string"} }
func (pluginKind) schema(*key) map[string]any {
	return map[string]any{"type": "string", "minLength": 1}
}
func (pathsKind) schema(*key) map[string]any { return oneOrList() }
func (stepsKind) schema(*key) map[string]any { return oneOrList() }
func (needsKind) schema(*key) map[string]any { return oneOrList() }

func (commandKind) schema(*key) map[string]any {
	return map[string]any{"oneOf": []any{
		map[string]any{"type": "string", "minLength": 1},
		map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "minItems": 1},
	}}
}

func (scheduleKind) schema(k *key) map[string]any {
	one := tableSchema(k)
	return map[string]any{"anyOf": []any{map[string]any{"type": "string"}, one, map[string]any{"type": "object", "additionalProperties": one}}}
}

func (cronKind) schema(*key) map[string]any { return map[string]any{"type": "string"} }
func (zoneKind) schema(*key) map[string]any { return map[string]any{"type": "string"} }

func (actionKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": "^(start|restart|signal:(SIG)?(" + strings.Join(signalNames(), "|") + "))$"})
}

func (umaskKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": "^0?[0-7]{1,3}$"})
}

func textOrNumber() map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"type": "string", "minLength": 1}, map[string]any{"type": "integer", "minimum": 0}}}
}

func (accountKind) schema(*key) map[string]any {
	return textOrNumber()
}

func (accountsKind) schema(k *key) map[string]any {
	return map[string]any{"type": "array", "items": accountKind{}.schema(k), "uniqueItems": true}
}

func (capabilitiesKind) schema(*key) map[string]any {
	var names []string
	for _, n := range CapabilityNames() {
		names = append(names, n, "CAP_"+strings.ToUpper(n))
	}
	return map[string]any{"type": "array", "items": expandable(map[string]any{"enum": names}), "uniqueItems": true}
}

func (variablesKind) schema(*key) map[string]any { return oneOrList() }

func (rlimitKind) schema(*key) map[string]any {
	return textOrNumber()
}

// listOf is one of what fits, or a list of them.
func listOf(fits map[string]any) map[string]any {
	return map[string]any{"oneOf": []any{fits, map[string]any{"type": "array", "items": fits}}}
}

func (signalsKind) schema(k *key) map[string]any { return listOf(signalKind{}.schema(k)) }

func (sequenceKind) schema(*key) map[string]any {
	return listOf(expandable(map[string]any{"type": "string", "pattern": "^(SIG)?(" + strings.Join(signalNames(), "|") + ")( after .+)?$"}))
}

func (codesKind) schema(k *key) map[string]any {
	return map[string]any{"type": "array", "items": map[string]any{"type": "integer", "minimum": k.min, "maximum": k.max}}
}
