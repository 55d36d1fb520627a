package main

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

// splitNames reads names separated by commas or given as several arguments.
func splitNames(args []string) []string {
	var names []string
	for _, arg := range args {
		for name := range strings.SplitSeq(arg, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// chosen keeps the satellites and instances that the names or globs mean, in their order.
func chosen(all []control.Satellite, names []string) ([]control.Satellite, error) {
	used := make([]bool, len(names))
	var kept []control.Satellite
	for _, s := range all {
		whole, instances := false, []control.Instance{}
		for n, name := range names {
			if matches(name, s.Name) || s.Group != "" && matches(name, groupPrefix+s.Group) {
				whole, used[n] = true, true
			}
		}
		for _, i := range s.Instances {
			for n, name := range names {
				if matches(name, s.Name+":"+strconv.Itoa(i.WID)) {
					used[n] = true
					instances = append(instances, i)
					break
				}
			}
		}
		if !whole {
			s.Instances = instances
		}
		if whole || len(instances) > 0 {
			kept = append(kept, s)
		}
	}
	for n, name := range names {
		if !used[n] {
			return nil, &control.Error{Kind: control.KindNotFound,
				Message: fmt.Sprintf("cannot find %q: the topology has no satellite or instance of that name", name),
				Suggest: closest(name, namesOf(all))}
		}
	}
	return kept, nil
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok || pattern == name
}

// groupPrefix begins the name of a group, where a satellite could stand.
const groupPrefix = "group:"

// namesOf are the satellites, the instances of those with several, and the groups.
func namesOf(all []control.Satellite) []string {
	var names, groups []string
	for _, s := range all {
		if name := groupPrefix + s.Group; s.Group != "" && !slices.Contains(groups, name) {
			groups = append(groups, name)
		}
		names = append(names, s.Name)
		if len(s.Instances) < 2 {
			continue
		}
		for _, i := range s.Instances {
			names = append(names, s.Name+":"+strconv.Itoa(i.WID))
		}
	}
	return append(names, groups...)
}

// completeNames offers the names that the running daemon knows; none when it does not answer at once.
func (t *tool) completeNames(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	return t.completions(cmd, func(s *control.Status) []string { return namesOf(s.Satellites) }, args, begun)
}

// completeSteps offers the satellites that take messages, as the first argument.
func (t *tool) completeSteps(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return t.completions(cmd, stepsOf, args, begun)
}

func stepsOf(s *control.Status) []string {
	var steps []string
	for _, s := range s.Satellites {
		if s.Queue != nil {
			steps = append(steps, s.Name)
		}
	}
	return steps
}
