package arch

// Rule gives what breaks it in a tree, one line each; nothing when it is kept.
type Rule func(Tree) []string

// Rules are the rules of the tree by what they promise.
func Rules() map[string]Rule {
	return map[string]Rule{
		"every package has a rule":                  everyPackageHasARule,
		"imports point down":                        importsPointDown,
		"suites serve tests":                        suitesServeTests,
		"the broker alone knows NATS":               brokerAloneKnowsNATS,
		"the catalog alone lists rooms":             catalogAloneListsRooms,
		"every room is in the catalog":              roomsAreInTheCatalog,
		"simulators are named after their vendor":   simulatorsAreNamedAfterTheirVendor,
		"rooms say what they do":                    roomsSayWhatTheyDo,
		"rooms pass their suite":                    roomsPassTheirSuite,
		"rooms own no life":                         roomsOwnNoLife,
		"no dot imports":                            noDotImports,
		"no test skips":                             noTestSkips,
		"nothing is marked unfinished":              noUnfinishedMarks,
		"packages are named for what they are":      packagesAreNamedForWhatTheyAre,
		"tests come from outside":                   testsComeFromOutside,
		"configuration knows no vendor's variables": configKnowsNoVendor,
	}
}
