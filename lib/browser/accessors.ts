// Gives bundles for browsers the accessors under policies, and those with addresses as halves.
import { HalvesAccess, halvesOfRam } from "../base/halves-access.js";
import { halvesPart } from "../base/halves-part.js";
import { memoryPolicies } from "../memory/guest-memory.js";
import { policyAccess } from "../memory/policy-access.js";
import { accessorsOf } from "../space/policy-accessors.js";
import { PolicySpaceAccess } from "../space/policy-space-access.js";
import { SplitAccess } from "../space/split-access.js";
import { splitAccess } from "../space/access-rules.js";
import { policyAccessors, policySpaceAccess } from "../space/address-space.js";

halvesPart.provide({ HalvesAccess, halvesOfRam });
memoryPolicies.provide({ policyAccess });
policyAccessors.provide({ accessorsOf });
policySpaceAccess.provide({ PolicySpaceAccess });
splitAccess.provide({ SplitAccess });
