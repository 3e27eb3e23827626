/** `inspect`: what an image is made of. */
import type { Command } from 'commander';
import {
  inspectImage,
  requireManifest,
  type ImageReport,
  type InspectionReport,
  type MissingImage,
} from '../../src/images/inspection.ts';
import { isManifestMediaType } from '../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { nodeError } from '../errors.ts';
import { showCount, showSize, showTable } from '../text-forms.ts';
import type { CommandContext } from './context.ts';
import {
  addRegistryFlags,
  openRegistries,
  referenceOf,
  RegistryNames,
  type RegistryOptions,
} from './registry-access.ts';
import { print, printJson } from './terminal.ts';

/** Adds the command. */
export function addInspectCommand(program: Command, context: CommandContext): void {
  const { terminal, facts } = context;
  addRegistryFlags(
    program
      .command('inspect')
      .description('what an image is made of, how it is run, and what is attached to it')
      .argument('<IMAGE>'),
  )
    .option('--raw', 'write the manifest to the byte')
    .action(async (text: string, options: RegistryOptions & { raw?: boolean }) => {
      if (options.raw === true && options.json === true) throw nodeError('ERR_USAGE', 'give --raw or --json, not both');
      const image = new RegistryNames(options, facts).image(text);
      await using origin = await openRegistries([image.registry], options, facts);
      if (options.raw === true) {
        terminal.out.write((await requireManifest(origin, image.repository, referenceOf(image))).bytes);
        return;
      }
      const report = await inspectImage(origin, image.repository, referenceOf(image));
      if (options.json === true) printJson(terminal, report);
      else for (const line of inspectionLines(report)) print(terminal, line);
    });
}

/** What a manifest is, in a word. */
export function kindOfMediaType(mediaType: string): string {
  if (mediaType === MEDIA_TYPES.ociIndex || mediaType === MEDIA_TYPES.dockerManifestList) return 'index';
  return isManifestMediaType(mediaType) ? 'image' : mediaType;
}

/** An image as people read it. */
export function inspectionLines(report: InspectionReport): string[] {
  const { repository, reference, digest, kind, images, attachments } = report;
  const lines = facts([
    ['image', `${repository}${reference.includes(':') ? '@' : ':'}${reference}`],
    ['digest', digest],
    ['type', kind === 'index' ? `${report.mediaType}, ${showCount(images.length, 'image')}` : report.mediaType],
    ...(kind === 'index'
      ? Object.entries(report.annotations).map(([key, value]) => ['annotation', `${key}=${value}`] as const)
      : []),
  ]);
  for (const image of images) lines.push('', ...imageLines(image, kind === 'index'));
  if (attachments.length === 0) return lines;
  const rows = attachments.map(({ artifactType, mediaType, digest: of, sizeBytes }) => [
    artifactType ?? mediaType,
    of,
    showSize(sizeBytes),
  ]);
  return [...lines, '', ...showTable(['attached', 'digest', 'size'], rows)];
}

function imageLines(image: ImageReport | MissingImage, isPart: boolean): string[] {
  if ('isMissing' in image)
    return facts([
      ['part', image.digest],
      ['platform', image.platform],
      ['state', 'not in this registry'],
    ]);
  const { runtime, layers, config } = image;
  return [
    ...facts([
      ...(isPart ? [['part', image.digest] as const] : []),
      ['artifact', image.artifactType],
      ['platform', runtime?.platform],
      ['created', runtime?.created],
      ['size', showSize(image.contentBytes)],
      ['user', runtime?.user],
      ['entrypoint', shell(runtime?.entrypoint)],
      ['command', shell(runtime?.command)],
      ['directory', runtime?.workingDirectory],
      ['ports', runtime?.ports?.join(' ')],
      ...(runtime?.environment ?? []).map((value) => ['environment', value] as const),
      ...Object.entries(runtime?.labels ?? {}).map(([key, value]) => ['label', `${key}=${value}`] as const),
      ...Object.entries(image.annotations).map(([key, value]) => ['annotation', `${key}=${value}`] as const),
      ['config', config?.digest],
    ]),
    ...layers.map(({ digest, sizeBytes }) => `${'layer'.padEnd(WIDTH)}  ${digest}  ${showSize(sizeBytes)}`),
  ];
}

const WIDTH = 'environment'.length;

function facts(pairs: readonly (readonly [name: string, value: string | undefined])[]): string[] {
  return pairs.flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [`${name.padEnd(WIDTH)}  ${printable(value)}`],
  );
}

/** What stands in an image was written by anybody: it is not to move the cursor. */
function printable(text: string): string {
  return text.replace(/[^\u0020-\u007e\u00a0-\uffff]/g, ' ');
}

function shell(words: readonly string[] | undefined): string | undefined {
  return words?.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
}
