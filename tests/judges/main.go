// judges prints what other tools make of objects: a line of JSON for each object of the YAML stream on standard input.
//
//	judges [argocd-cm.yaml]
//
// kstatus is the library of Flux, kpt and others. Argo CD's health checks are those of the ConfigMap in the file, and run as
// Argo CD runs them: by the same interpreter, without libraries but `table`, the object in `obj`.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Verdict is what is made of one object.
type Verdict struct {
	Kstatus string  `json:"kstatus"`
	Argo    *Health `json:"argo,omitempty"`
}

// Health is what a health check of Argo CD returns.
type Health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "judges:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	var scripts map[string]string
	if len(arguments) > 0 {
		file, err := os.Open(arguments[0])
		if err != nil {
			return err
		}
		defer file.Close()
		var patch struct {
			Data map[string]string `json:"data"`
		}
		if err := yaml.NewYAMLOrJSONDecoder(file, 4096).Decode(&patch); err != nil {
			return err
		}
		scripts = patch.Data
	}
	lines := json.NewEncoder(out)
	return each(in, func(object *unstructured.Unstructured) error {
		verdict, err := judge(object, scripts)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		return lines.Encode(verdict)
	})
}

func each(in io.Reader, do func(*unstructured.Unstructured) error) error {
	documents := yaml.NewYAMLOrJSONDecoder(in, 4096)
	for {
		var document runtime.RawExtension
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if raw := bytes.TrimSpace(document.Raw); len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
			continue
		}
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(document.Raw); err != nil {
			return err
		}
		if err := do(&object); err != nil {
			return err
		}
	}
}

func judge(object *unstructured.Unstructured, scripts map[string]string) (*Verdict, error) {
	found, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	verdict := &Verdict{Kstatus: found.Status.String()}
	if scripts == nil {
		return verdict, nil
	}
	kind := object.GroupVersionKind()
	key := fmt.Sprintf("resource.customizations.health.%s_%s", kind.Group, kind.Kind)
	script, ok := scripts[key]
	if !ok {
		return nil, fmt.Errorf("there is no %s", key)
	}
	verdict.Argo, err = health(object, script)
	return verdict, err
}

func health(object *unstructured.Unstructured, script string) (*Health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	}
	for _, name := range []string{lua.LoadLibName, lua.BaseLibName, lua.TabLibName} {
		open := lua.P{Fn: state.NewFunction(libraries[name]), Protect: true}
		if err := state.CallByParam(open, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	state.SetGlobal("obj", value(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returns no table")
	}
	text := func(name string) string {
		if text, ok := table.RawGetString(name).(lua.LString); ok {
			return string(text)
		}
		return ""
	}
	return &Health{Status: text("status"), Message: text("message")}, nil
}

func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case bool:
		return lua.LBool(of)
	case int64:
		return lua.LNumber(of)
	case float64:
		return lua.LNumber(of)
	case string:
		return lua.LString(of)
	case []any:
		table := state.NewTable()
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}
