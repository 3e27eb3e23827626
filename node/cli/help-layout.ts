/** How help is laid out: lines fit the terminal (80 columns where nobody looks), and long flags stand on lines of their own. */
import { Help, type HelpConfiguration, type Option } from 'commander';

const LONGEST_TERM = 26;
const INDENT = 2;
const FALLBACK_WIDTH = 80;

/** For `Command.configureHelp`. */
export const HELP_LAYOUT: HelpConfiguration = {
  padWidth: (command, helper) => Math.min(LONGEST_TERM, Help.prototype.padWidth.call(helper, command, helper)),
  formatItem: (term, termWidth, description, helper) => {
    if (description === '' || term.length <= termWidth) {
      return Help.prototype.formatItem.call(helper, term, termWidth, description, helper);
    }
    const column = ' '.repeat(INDENT + termWidth + INDENT);
    const width = (helper.helpWidth ?? FALLBACK_WIDTH) - column.length;
    const lines = helper.boxWrap(description, width).split('\n');
    return [' '.repeat(INDENT) + term, ...lines.map((line) => column + line)].join('\n');
  },
  optionDescription: (option) => Help.prototype.optionDescription.call(new Help(), withoutPreset(option)),
};

/** What a flag without a value stands for is for programmers; people read `[true|false]`. */
function withoutPreset(option: Option): Option {
  return Object.assign(Object.create(option) as Option, { presetArg: undefined });
}
