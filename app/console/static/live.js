// Pages that only need to stay fresh: the list of jobs, lanes, keys. `data-live` is the number of seconds, 0 is "don't".

import { Poll } from "./poll.js";
import { renew } from "./regions.js";

const region = document.querySelector("[data-live]");
const seconds = Number(region?.dataset.live);
if (seconds) new Poll(seconds, () => renew([region.id]).then(() => true));
