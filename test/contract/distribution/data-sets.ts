/** Images, indexes and artifacts of every kind that the specification's own suite pushes, by the names that it has for them. */
import { digestOf, type Digest, type DigestAlgorithm } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import type { Blob, RegistryClient } from './registry-client.ts';

const LAYER = MEDIA_TYPES.ociLayerGzip;
const EXAMPLE = 'application/vnd.example.config+json';
const OTHER_EXAMPLE = 'application/vnd.example.other+json';
const NONDISTRIBUTABLE = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
const NOTE = { 'org.example.note': 'hello' };

/** A manifest as it is pushed. */
export interface PushedManifest extends Blob {
  readonly mediaType: string;
  readonly tag: string | undefined;
  readonly subject: Digest | undefined;
  /** How it stands in the list of what refers to its subject. */
  readonly referrer: object;
}

/** Blobs, and manifests in the order in which they may be pushed. */
export interface DataSet {
  readonly blobs: readonly Blob[];
  readonly manifests: readonly PushedManifest[];
}

/** What makes one manifest different from another. */
interface ManifestOptions {
  readonly tag?: string;
  readonly artifactType?: string;
  readonly subject?: object;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Fields that no specification knows. */
  readonly extra?: object;
}

interface ImageOptions extends ManifestOptions {
  /** Default: that of OCI. */
  readonly mediaType?: string;
  readonly layers?: readonly object[];
  readonly config?: Blob;
  readonly configType?: string;
}

type Descriptor = Readonly<Record<string, unknown>> & { readonly digest: Digest };

/** Gathers a data set. */
class Builder implements DataSet {
  readonly blobs: Blob[] = [];
  readonly manifests: PushedManifest[] = [];
  readonly #client: RegistryClient;
  readonly #algorithm: DigestAlgorithm;

  constructor(client: RegistryClient, algorithm: DigestAlgorithm = 'sha256') {
    this.#client = client;
    this.#algorithm = algorithm;
  }

  /** A blob that is pushed. */
  blob(bytes: Buffer, mediaType: string, more: object = {}): Descriptor {
    const blob = { bytes, digest: digestOf(bytes, this.#algorithm) };
    this.blobs.push(blob);
    return { mediaType, digest: blob.digest, size: bytes.length, ...more };
  }

  layer(mediaType: string = LAYER, more: object = {}): Descriptor {
    return this.blob(this.#client.makeBlob(300).bytes, mediaType, more);
  }

  /** A layer that nobody pushes. */
  elsewhere(mediaType: string): Descriptor {
    const { digest } = this.#client.makeBlob(10, this.#algorithm);
    return { mediaType, digest, size: 12_345, urls: [`https://store.example.com/${digest}`] };
  }

  image(options: ImageOptions = {}): Descriptor {
    const { layers = [this.layer(), this.layer()], configType = MEDIA_TYPES.ociConfig } = options;
    const unique = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', id: this.blobs.length }));
    const config = this.blob(options.config?.bytes ?? unique, configType);
    return this.#manifest(options.mediaType ?? MEDIA_TYPES.ociManifest, { config, layers }, options, configType);
  }

  artifact(options: ManifestOptions = {}, layerType = EXAMPLE): Descriptor {
    const layers = [
      layerType === MEDIA_TYPES.ociEmpty ? this.blob(Buffer.from('{}'), layerType) : this.layer(layerType),
    ];
    const config = { bytes: Buffer.from('{}'), digest: digestOf(Buffer.from('{}')) };
    return this.image({ artifactType: EXAMPLE, layers, config, configType: MEDIA_TYPES.ociEmpty, ...options });
  }

  index(children: readonly Descriptor[], options: ManifestOptions & { readonly mediaType?: string } = {}): Descriptor {
    const architectures = ['amd64', 'arm64'];
    const manifests = children.map((child, at) => ({
      ...child,
      platform: { os: 'linux', architecture: architectures[at] ?? 'riscv64' },
    }));
    return this.#manifest(options.mediaType ?? MEDIA_TYPES.ociIndex, { manifests }, options, undefined);
  }

  #manifest(mediaType: string, parts: object, options: ManifestOptions, configType: string | undefined): Descriptor {
    const { artifactType, subject, annotations, extra, tag } = options;
    const document = { schemaVersion: 2, mediaType, artifactType, ...parts, subject, annotations, ...extra };
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(bytes, this.#algorithm);
    const descriptor = { mediaType, digest, size: bytes.length };
    const described = artifactType ?? configType;
    const referrer = {
      ...descriptor,
      ...(described === undefined ? {} : { artifactType: described }),
      ...(annotations === undefined ? {} : { annotations }),
    };
    const subjectDigest = (subject as Descriptor | undefined)?.digest;
    this.manifests.push({ bytes, digest, mediaType, tag, subject: subjectDigest, referrer });
    return descriptor;
  }
}

type Fill = (set: Builder) => void;

const FILLS: Readonly<Record<string, Fill>> = {
  image: (set) => void set.image({ tag: 'image' }),
  'image-uncompressed': (set) =>
    void set.image({ tag: 'image', layers: [set.layer('application/vnd.oci.image.layer.v1.tar')] }),
  'large-manifest': (set) => {
    const long = Array.from({ length: 390 }, (_, at) => [`large-annotation-${at}`, 'A'.repeat(10_000)]);
    set.image({ tag: 'large', annotations: Object.fromEntries(long) as Record<string, string> });
  },
  index: (set) => void set.index([set.image(), set.image()], { tag: 'index' }),
  'nested-index': (set) => {
    const inner = [set.index([set.image(), set.image()]), set.index([set.image(), set.image()])];
    set.index(inner, { tag: 'index-of-index' });
  },
  'empty-index': (set) => void set.index([], { tag: 'index' }),
  artifact: (set) => void set.artifact({ tag: 'artifact' }),
  'artifact-index': (set) =>
    void set.index([set.artifact(), set.artifact()], { tag: 'artifact-index', artifactType: EXAMPLE }),
  'artifact-without-layers': (set) => void set.artifact({ tag: 'no-layers' }, MEDIA_TYPES.ociEmpty),
  'artifacts-with-subject': (set) => {
    const subject = set.image({ tag: 'image' });
    set.image({ subject });
    set.artifact({ subject, tag: 'tagged-artifact1', annotations: NOTE });
    set.artifact({ subject, tag: 'tagged-artifact2', annotations: NOTE, artifactType: OTHER_EXAMPLE }, EXAMPLE);
  },
  'index-with-subject': (set) => {
    const subject = set.index([set.image(), set.image()], { tag: 'index' });
    const artifacts = [set.artifact(), set.artifact()];
    set.index(artifacts, { subject, tag: 'tagged-artifact', artifactType: EXAMPLE, annotations: NOTE });
    set.index(artifacts, { subject });
  },
  'missing-subject': (set) => {
    const { digest } = set.elsewhere(LAYER);
    const subject = { mediaType: MEDIA_TYPES.ociManifest, digest, size: 123 };
    set.artifact({ subject, tag: 'tagged-artifact', annotations: NOTE });
  },
  'data-field': (set) => {
    const bytes = Buffer.from('{}');
    set.image({ tag: 'data-field', layers: [set.blob(bytes, LAYER, { data: bytes.toString('base64') })] });
  },
  'non-distributable-layers': (set) => {
    const layers = [set.elsewhere(`${NONDISTRIBUTABLE}+gzip`), set.elsewhere(NONDISTRIBUTABLE), set.layer()];
    set.image({ tag: 'non-distributable-image', layers });
  },
  'custom-fields': (set) => {
    const extra = { 'org.example.unknown': { deep: [1, 'two', null] } };
    set.index([set.image({ extra }), set.image({ extra })], { tag: 'custom-fields', extra });
  },
  'no-layers': (set) => void set.image({ tag: 'no-layers', layers: [] }),
  // Docker's own forms, which the suite leaves out.
  'docker-schema-2': (set) => {
    const docker = {
      mediaType: MEDIA_TYPES.dockerManifest,
      configType: 'application/vnd.docker.container.image.v1+json',
    };
    const layer = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    const images = [0, 1].map(() => set.image({ ...docker, layers: [set.layer(layer)] }));
    set.index(images, { mediaType: MEDIA_TYPES.dockerManifestList, tag: 'docker-list' });
  },
};

/** Each by its name. */
export const DATA_SETS: readonly (readonly [string, (client: RegistryClient) => DataSet])[] = [
  ...Object.entries(FILLS).map(([name, fill]) => [name, filled(fill)] as const),
  ['sha512', filled((set) => void set.index([set.image(), set.image()]), 'sha512')],
];

/** An image, pushed by its digest alone. */
export function plainImage(client: RegistryClient): DataSet {
  return filled((set) => void set.image())(client);
}

/** An index of two images. */
export function plainIndex(client: RegistryClient, algorithm: DigestAlgorithm): DataSet {
  return filled((set) => void set.index([set.image(), set.image()]), algorithm)(client);
}

function filled(fill: Fill, algorithm?: DigestAlgorithm): (client: RegistryClient) => DataSet {
  return (client) => {
    const set = new Builder(client, algorithm);
    fill(set);
    return set;
  };
}
